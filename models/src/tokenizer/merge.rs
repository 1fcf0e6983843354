//! Merging neighbours, best pair first, until none is left to merge.
//!
//! Both families of byte-pair encoding do this (Sennrich et al., 2016): GPT-2's by the rank of a
//! pair, sentencepiece's by the score of what the pair makes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A piece of a text: where it lies, and its token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub start: u32,
    pub end: u32,
    pub id: u32,
}

/// What two neighbours make. The lowest priority is merged first, of equal ones the leftmost.
pub(super) struct Merged {
    pub priority: u32,
    pub id: u32,
}

const NONE: u32 = u32::MAX;

struct Node {
    piece: Piece,
    previous: u32,
    next: u32,
}

/// What the queue knows of a pair: when it no longer fits the nodes, one of them was merged.
type Entry = Reverse<(u32, u32, u32, u32, u32)>;

/// Merges `pieces`, which follow on one another, in O(n log n) calls of `pair`.
pub(super) fn merge(pieces: &mut Vec<Piece>, pair: impl Fn(Piece, Piece) -> Option<Merged>) {
    if pieces.len() < 2 {
        return;
    }
    let count = pieces.len() as u32;
    let mut nodes: Vec<Node> = (0..count)
        .zip(pieces.iter())
        .map(|(index, piece)| Node {
            piece: *piece,
            previous: index.checked_sub(1).unwrap_or(NONE),
            next: if index + 1 == count { NONE } else { index + 1 },
        })
        .collect();
    let mut queue: BinaryHeap<Entry> = BinaryHeap::with_capacity(pieces.len());
    let offer = |queue: &mut BinaryHeap<Entry>, nodes: &[Node], left: u32, right: u32| {
        if left == NONE || right == NONE {
            return;
        }
        let (a, b) = (nodes[left as usize].piece, nodes[right as usize].piece);
        if let Some(merged) = pair(a, b) {
            queue.push(Reverse((merged.priority, left, right, b.end, merged.id)));
        }
    };
    for left in 0..count - 1 {
        offer(&mut queue, &nodes, left, left + 1);
    }
    while let Some(Reverse((_, left, right, end, id))) = queue.pop() {
        // A node that was merged into its left neighbour is empty. The left one of a pair has
        // grown if its next is another, the right one if its end is.
        let (a, b) = (&nodes[left as usize], &nodes[right as usize]);
        let stale = a.next != right || b.piece.end != end || b.piece.start == b.piece.end;
        if stale || a.piece.start == a.piece.end {
            continue;
        }
        let next = b.next;
        let start = b.piece.start;
        nodes[right as usize].piece.end = start;
        let a = &mut nodes[left as usize];
        a.piece.end = end;
        a.piece.id = id;
        a.next = next;
        let previous = a.previous;
        if next != NONE {
            nodes[next as usize].previous = left;
        }
        offer(&mut queue, &nodes, previous, left);
        offer(&mut queue, &nodes, left, next);
    }
    pieces.clear();
    pieces.extend(
        nodes
            .iter()
            .map(|node| node.piece)
            .filter(|piece| piece.start < piece.end),
    );
}
