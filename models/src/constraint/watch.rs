//! What JSON must be watched for beyond its grammar: members or items that occur twice, and depth.

use std::sync::Arc;

use serde_json::Value;

use super::schema::same;

/// Readers of JSON give up a little deeper than this.
const MAX_DEPTH: usize = 100;

/// Follows a text byte by byte. Outside of JSON it waits for the next object or array.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// Whether the items of every array must differ.
    unique: bool,
    frames: Vec<Frame>,
    in_string: bool,
    escaped: bool,
    /// The string that is being read, where it names a member.
    name: Option<Vec<u8>>,
}

/// An object or an array that is not closed yet.
#[derive(Debug, Clone)]
enum Frame {
    Object {
        names: Arc<Vec<Vec<u8>>>,
        /// Whether a name comes next.
        naming: bool,
    },
    Array {
        items: Arc<Vec<Value>>,
        /// The bytes of the item that is being read.
        item: Vec<u8>,
    },
}

impl Watch {
    pub fn new(unique: bool) -> Self {
        Self {
            unique,
            frames: Vec::new(),
            in_string: false,
            escaped: false,
            name: None,
        }
    }

    /// Whether both watch the same, more strictly where either does.
    pub fn join(self, other: Self) -> Self {
        Self::new(self.unique || other.unique)
    }

    /// Whether a token could break a rule here.
    pub fn is_alert(&self) -> bool {
        self.frames.len() + 20 > MAX_DEPTH
            || self.frames.iter().any(|frame| match frame {
                Frame::Object { names, .. } => !names.is_empty(),
                Frame::Array { items, item } => {
                    self.unique && !(items.is_empty() && item.is_empty())
                }
            })
    }

    /// Goes on with these bytes; false when they break a rule.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.push_byte(*byte))
    }

    fn push_byte(&mut self, byte: u8) -> bool {
        let ends_item = !self.in_string && matches!(byte, b',' | b']');
        if ends_item && let Some(Frame::Array { items, item }) = self.frames.last_mut() {
            let item = std::mem::take(item);
            if self.unique && !item.trim_ascii().is_empty() {
                let Ok(value) = serde_json::from_slice::<Value>(&item) else {
                    return false;
                };
                if items.iter().any(|known| same(known, &value)) {
                    return false;
                }
                Arc::make_mut(items).push(value);
            }
        }
        // The brackets and commas of an array are no part of its own items.
        let mut owners = self.frames.len();
        if ends_item && matches!(self.frames.last(), Some(Frame::Array { .. })) {
            owners -= 1;
        }
        if self.unique {
            for frame in &mut self.frames[..owners] {
                if let Frame::Array { item, .. } = frame {
                    item.push(byte);
                }
            }
        }
        if self.in_string {
            return self.push_in_string(byte);
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.name = match self.frames.last() {
                    Some(Frame::Object { naming: true, .. }) => Some(Vec::new()),
                    _ => None,
                };
            }
            b'{' => self.frames.push(Frame::Object {
                names: Arc::default(),
                naming: true,
            }),
            b'[' => self.frames.push(Frame::Array {
                items: Arc::default(),
                item: Vec::new(),
            }),
            b'}' | b']' => {
                self.frames.pop();
            }
            b',' => {
                if let Some(Frame::Object { naming, .. }) = self.frames.last_mut() {
                    *naming = true;
                }
            }
            _ => {}
        }
        self.frames.len() <= MAX_DEPTH
    }

    fn push_in_string(&mut self, byte: u8) -> bool {
        if byte == b'"' && !self.escaped {
            self.in_string = false;
            let Some(name) = self.name.take() else {
                return true;
            };
            if let Some(Frame::Object { names, naming }) = self.frames.last_mut() {
                if names.contains(&name) {
                    return false;
                }
                Arc::make_mut(names).push(name);
                *naming = false;
            }
            return true;
        }
        self.escaped = byte == b'\\' && !self.escaped;
        if let Some(name) = &mut self.name {
            name.push(byte);
        }
        true
    }
}
