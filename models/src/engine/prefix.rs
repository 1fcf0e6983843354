//! What texts that were read before remember of their beginnings.
//!
//! A tree: each node has up to [`BLOCK_POSITIONS`] tokens and the memory of them, which follows
//! from all tokens on the way from the root. Leaves that were not used for longest go first.

use std::collections::HashMap;
use std::sync::Arc;

use crate::decoder::{Adapter, Decoder, Memory, Sequence};
use crate::kernels::BLOCK_POSITIONS;

type Id = u64;

/// The prefixes of the texts that were read.
pub(super) struct Prefixes {
    nodes: HashMap<Id, Node>,
    /// Where the texts begin that were read with an adapter, or with none.
    roots: HashMap<Option<u64>, Id>,
    next: Id,
    clock: u64,
}

#[derive(Default)]
struct Node {
    /// None of a root.
    parent: Option<Id>,
    children: Vec<Id>,
    /// All but a leaf's are [`BLOCK_POSITIONS`].
    tokens: Vec<u32>,
    memory: Option<Memory>,
    used: u64,
}

impl Prefixes {
    pub fn new() -> Self {
        Self {
            nodes: HashMap::new(),
            roots: HashMap::new(),
            next: 0,
            clock: 0,
        }
    }

    /// The root of the texts that were read with `adapter`; roots have no tokens and stay.
    fn root(&mut self, adapter: Option<&Arc<Adapter>>) -> Id {
        let adapter = adapter.map(|adapter| adapter.id());
        if let Some(root) = self.roots.get(&adapter) {
            return *root;
        }
        let root = self.insert(None);
        self.roots.insert(adapter, root);
        root
    }

    /// A sequence that has read as much of the beginning of `tokens`, with `adapter`, as is
    /// known.
    pub fn recall(
        &mut self,
        decoder: &Arc<Decoder>,
        adapter: Option<&Arc<Adapter>>,
        tokens: &[u32],
    ) -> Sequence {
        self.clock += 1;
        let (mut at, mut path, mut known) = (self.root(adapter), Vec::new(), 0);
        while known < tokens.len() {
            let rest = &tokens[known..];
            let common = |id: &Id| common(&self.nodes[id].tokens, rest);
            let best = self.nodes[&at].children.iter().max_by_key(|id| common(id));
            let Some((&id, length)) = best.map(|id| (id, common(id))).filter(|(_, n)| *n > 0)
            else {
                break;
            };
            path.push(id);
            known += length;
            at = id;
            self.touch(id);
            if length < BLOCK_POSITIONS {
                break;
            }
        }
        let memory: Vec<&Memory> = path
            .iter()
            .filter_map(|id| self.nodes[id].memory.as_ref())
            .collect();
        // Where a sliding window has moved on, a shorter beginning may still be whole.
        while known > 0 {
            let blocks = known.div_ceil(BLOCK_POSITIONS);
            if let Some(sequence) =
                decoder.recall(adapter.cloned(), &tokens[..known], &memory[..blocks])
            {
                return sequence;
            }
            known = (blocks - 1) * BLOCK_POSITIONS;
        }
        decoder.sequence_with(adapter.cloned())
    }

    /// Remembers what `sequence` has read: its whole blocks, and the last one too if it is `done`.
    pub fn keep(&mut self, sequence: &Sequence, done: bool) {
        self.clock += 1;
        let mut at = self.root(sequence.adapter());
        for (index, tokens) in sequence.tokens().chunks(BLOCK_POSITIONS).enumerate() {
            if tokens.len() < BLOCK_POSITIONS && !done {
                return;
            }
            let related = self.nodes[&at].children.iter().copied().find(|id| {
                let known = &self.nodes[id].tokens;
                common(known, tokens) == known.len().min(tokens.len())
            });
            let id = match related {
                Some(id) if self.nodes[&id].tokens.len() > tokens.len() => {
                    self.touch(id);
                    return;
                }
                Some(id) => id,
                None => self.insert(Some(at)),
            };
            self.touch(id);
            let memory = sequence.memory(index);
            if let Some(node) = self.nodes.get_mut(&id) {
                let better = node
                    .memory
                    .as_ref()
                    .is_none_or(|known| memory.layers() > known.layers());
                if better || node.tokens.len() < tokens.len() {
                    node.memory = Some(memory);
                }
                node.tokens = tokens.to_vec();
            }
            at = id;
        }
    }

    /// Forgets the leaf that was not used for longest; false when nothing is left.
    pub fn forget_one(&mut self) -> bool {
        let leaves = self.nodes.iter();
        let leaves = leaves.filter(|(_, node)| node.parent.is_some() && node.children.is_empty());
        let Some(oldest) = leaves.min_by_key(|(id, node)| (node.used, **id)) else {
            return false;
        };
        let (id, parent) = (*oldest.0, oldest.1.parent);
        self.nodes.remove(&id);
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.retain(|child| *child != id);
        }
        true
    }

    fn insert(&mut self, parent: Option<Id>) -> Id {
        let id = self.next;
        self.next += 1;
        let node = Node {
            parent,
            ..Node::default()
        };
        self.nodes.insert(id, node);
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.push(id);
        }
        id
    }

    fn touch(&mut self, id: Id) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.used = self.clock;
        }
    }
}

/// How many tokens two texts begin with in common.
pub(super) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
