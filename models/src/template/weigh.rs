//! Keeping the values of a template small: how many parts they have, and how deep they lie.

use std::time::Instant;

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::environment::over_limit;

/// How deep values may hold one another.
const MAX_DEPTH: usize = 64;

/// Parts that one unit of fuel pays for, and bytes of the texts among them.
const PARTS_PER_FUEL: u64 = 2;
const BYTES_PER_FUEL: u64 = 32;

/// How often the clock is looked at, in parts.
const PARTS_PER_LOOK: u64 = 1024;

/// A walk over parts that ends when the fuel or the time does.
struct Scale<'s, 't, 'e> {
    state: &'s State<'t, 'e>,
    deadline: Instant,
    /// What has been looked at and not been paid for.
    units: u64,
    parts: u64,
}

/// Looks at all parts of a value, which costs fuel, and refuses what lies too deep: so no value
/// has more parts than the fuel pays for, however its parts are shared, and none holds itself.
/// Nothing of that is done after the deadline.
pub fn weigh(state: &State<'_, '_>, value: &Value, deadline: Instant) -> Result<(), Error> {
    let mut scale = Scale::new(state, deadline);
    scale.look()?;
    match holds_others(value) {
        true => scale.add(value, 0),
        false => Ok(()),
    }
}

/// A list that was only described, such as one repeated or cut, as one that is there; the rest as
/// it is; weighed.
pub fn gathered(state: &State<'_, '_>, value: Value, deadline: Instant) -> Result<Value, Error> {
    if value.kind() != ValueKind::Iterable {
        weigh(state, &value, deadline)?;
        return Ok(value);
    }
    let mut scale = Scale::new(state, deadline);
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        let item = item?;
        scale.add(&item, 1)?;
        items.push(item);
    }
    Ok(Value::from(items))
}

/// Whether `value` is what `namespace()` makes: the one kind of value that changes.
pub fn is_namespace(value: &Value) -> bool {
    let object = value.as_object();
    object.is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

fn holds_others(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map
    )
}

impl<'s, 't, 'e> Scale<'s, 't, 'e> {
    fn new(state: &'s State<'t, 'e>, deadline: Instant) -> Self {
        Self {
            state,
            deadline,
            units: 0,
            parts: 0,
        }
    }

    /// Looks at the clock.
    fn look(&self) -> Result<(), Error> {
        match Instant::now() < self.deadline {
            true => Ok(()),
            false => Err(over_limit("it takes too long")),
        }
    }

    fn add(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let bytes = value.as_str().map_or(0, str::len) as u64;
        self.pay(BYTES_PER_FUEL / PARTS_PER_FUEL + bytes)?;
        self.parts += 1;
        if self.parts.is_multiple_of(PARTS_PER_LOOK) {
            self.look()?;
        }
        if !holds_others(value) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(over_limit(format!("values lie over {MAX_DEPTH} deep")));
        }
        if depth > 0 && is_namespace(value) {
            return Err(over_limit("a namespace lies in another value".to_owned()));
        }
        let items = value.try_iter()?.checked();
        if value.kind() != ValueKind::Map {
            return items
                .into_iter()
                .try_for_each(|item| self.add(&item?, depth + 1));
        }
        for key in items {
            let key = key?;
            self.add(&key, depth + 1)?;
            self.add(&value.get_item(&key)?, depth + 1)?;
        }
        Ok(())
    }

    fn pay(&mut self, units: u64) -> Result<(), Error> {
        self.units += units;
        let fuel = self.units / BYTES_PER_FUEL;
        self.units %= BYTES_PER_FUEL;
        self.state.consume_fuel(fuel)
    }
}
