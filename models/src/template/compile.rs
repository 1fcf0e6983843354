//! A template's instructions, with checks woven in.
//!
//! minijinja's fuel pays for each instruction and for each text and list that one makes. It does
//! not pay for what operators and filters do with values that hold others, and lists of lists
//! that share their parts have more of them than memory has bytes. So every value that holds
//! others is weighed ([`super::weigh`]) where it is made, and before it is compared or written.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::machinery::{
    CompiledTemplate, Instruction, Instructions, TemplateConfig, Token, tokenize,
};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Error};

use super::environment::over_limit;

/// Longer templates are refused: those in use have up to some 20,000 bytes.
const MAX_SOURCE: usize = 1 << 20;
/// The most operators, dots, filters and brackets that one tag may have: reading it recurses as
/// deep.
const MAX_LINKS: usize = 400;
/// The most branches that may be open at once.
const MAX_BRANCHES: usize = 400;

/// The check that a value is small, as a test. No template can say the name.
pub const TAME: &str = "\u{1}tame";
/// The check that a value may be kept in a namespace.
pub const KEPT: &str = "\u{1}kept";
/// The filter that makes lists of what was only described, and checks that they are small.
pub const GATHERED: &str = "\u{1}gathered";

/// Compiles a template.
pub fn compile<'source>(
    name: &'source str,
    source: &'source str,
    syntax: &SyntaxConfig,
) -> Result<CompiledTemplate<'source>, Error> {
    check_source(source, syntax)?;
    let config = TemplateConfig {
        syntax_config: syntax.clone(),
        default_auto_escape: Arc::new(|_| AutoEscape::None),
    };
    let mut compiled = CompiledTemplate::new(name, source, &config)?;
    compiled.instructions = checked(&compiled.instructions);
    let blocks = compiled.blocks.iter();
    let blocks: BTreeMap<_, _> = blocks
        .map(|(name, block)| (*name, checked(block)))
        .collect();
    compiled.blocks = blocks;
    Ok(compiled)
}

/// Refuses what would be read by recursing too deep.
fn check_source(source: &str, syntax: &SyntaxConfig) -> Result<(), Error> {
    if source.len() > MAX_SOURCE {
        let bytes = source.len();
        return Err(over_limit(format!(
            "it has {bytes} bytes, at most {MAX_SOURCE} are read"
        )));
    }
    let (mut links, mut begun) = (0, false);
    // For each open `if`, how many branches it has.
    let mut branches: Vec<usize> = Vec::new();
    for token in tokenize(source, false, syntax.clone()) {
        let token = token?.0;
        match token {
            Token::VariableStart | Token::BlockStart => links = 0,
            Token::Ident("if") if begun => branches.push(1),
            Token::Ident("elif") if begun => branches
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|it| *it += 1),
            Token::Ident("endif") if begun => drop(branches.pop()),
            Token::Ident("not" | "is" | "in" | "and" | "or" | "if" | "else")
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::FloorDiv
            | Token::Pow
            | Token::Mod
            | Token::Dot
            | Token::Tilde
            | Token::Pipe
            | Token::Eq
            | Token::Ne
            | Token::Gt
            | Token::Gte
            | Token::Lt
            | Token::Lte
            | Token::BracketOpen
            | Token::ParenOpen
            | Token::BraceOpen => links += 1,
            _ => {}
        }
        begun = matches!(token, Token::BlockStart);
        if links > MAX_LINKS {
            return Err(over_limit(format!(
                "one tag has over {MAX_LINKS} operators and brackets"
            )));
        }
        if branches.iter().sum::<usize>() > MAX_BRANCHES {
            return Err(over_limit(format!(
                "over {MAX_BRANCHES} branches are open at once"
            )));
        }
    }
    Ok(())
}

/// The same instructions with checks between them.
fn checked<'source>(instructions: &Instructions<'source>) -> Instructions<'source> {
    let all: Vec<&Instruction<'source>> =
        (0..).map_while(|index| instructions.get(index)).collect();
    // Where each instruction goes, its own checks included.
    let mut places = Vec::with_capacity(all.len() + 1);
    let mut place = 0;
    for instruction in &all {
        places.push(place);
        let (before, after) = checks(instruction);
        let steps = before.iter().chain(after);
        place += 1 + steps.map(|step| step.instructions().len()).sum::<usize>() as u32;
    }
    places.push(place);
    let moved = |target: u32| places.get(target as usize).copied().unwrap_or(target);

    let mut woven = Instructions::new(instructions.name(), instructions.source());
    for (index, instruction) in all.into_iter().enumerate() {
        let line = instructions.get_line(index as u32).unwrap_or(0) as u16;
        let (before, after) = checks(instruction);
        for step in before.iter().flat_map(|step| step.instructions()) {
            woven.add_with_line(step, line);
        }
        woven.add_with_line(
            match instruction.clone() {
                Instruction::Iterate(target) => Instruction::Iterate(moved(target)),
                Instruction::Jump(target) => Instruction::Jump(moved(target)),
                Instruction::JumpIfFalse(target) => Instruction::JumpIfFalse(moved(target)),
                Instruction::JumpIfFalseOrPop(target) => {
                    Instruction::JumpIfFalseOrPop(moved(target))
                }
                Instruction::JumpIfTrueOrPop(target) => Instruction::JumpIfTrueOrPop(moved(target)),
                Instruction::BuildMacro(name, target, flags) => {
                    Instruction::BuildMacro(name, moved(target), flags)
                }
                other => other,
            },
            line,
        );
        for step in after.iter().flat_map(|step| step.instructions()) {
            woven.add_with_line(step, line);
        }
    }
    woven
}

/// A step of a check.
#[derive(Clone, Copy)]
enum Step {
    /// Exchanges the two values on top.
    Swap,
    /// Puts another in place of the value on top.
    Change(&'static str),
    /// Looks at the value on top.
    Look(&'static str),
}

impl Step {
    fn instructions<'source>(self) -> Vec<Instruction<'source>> {
        // The last number says that the filter or test is not remembered.
        match self {
            Self::Swap => vec![Instruction::Swap],
            Self::Change(name) => vec![Instruction::ApplyFilter(name, Some(1), u8::MAX)],
            Self::Look(name) => vec![
                Instruction::DupTop,
                Instruction::PerformTest(name, Some(1), u8::MAX),
                Instruction::DiscardTop,
            ],
        }
    }
}

/// The checks before and after an instruction.
fn checks(instruction: &Instruction<'_>) -> (&'static [Step], &'static [Step]) {
    use Step::{Change, Look, Swap};
    match instruction {
        Instruction::BuildMap(_) | Instruction::BuildList(_) | Instruction::BuildTuple(_) => {
            (&[], &[Look(TAME)])
        }
        Instruction::Slice
        | Instruction::Mul
        | Instruction::ApplyFilter(..)
        | Instruction::CallFunction(..)
        | Instruction::CallMethod(..)
        | Instruction::CallObject(_) => (&[], &[Change(GATHERED)]),
        Instruction::PerformTest(..) => (&[], &[Look(TAME)]),
        // What is on the left was weighed when it was made, and the sum weighs no more than both;
        // a comparison takes no longer than either.
        Instruction::Add
        | Instruction::In
        | Instruction::GetItem
        | Instruction::Eq
        | Instruction::Ne
        | Instruction::Gt
        | Instruction::Gte
        | Instruction::Lt
        | Instruction::Lte
        | Instruction::CompareAndPreserve(_) => (&[Look(TAME)], &[]),
        Instruction::StringConcat => (&[Look(TAME), Swap, Look(TAME), Swap], &[]),
        Instruction::SetAttr(_) => (&[Swap, Look(KEPT), Swap], &[]),
        _ => (&[], &[]),
    }
}
