//! Planners on scripted models.
//!
//! | module | what is proved |
//! |---|---|
//! | `steps` | a plan is revised after a failed observation; the answer claims nothing that failed |
//! | `dag` | a plan is checked before it runs, runs side by side, falls to other workers |
//! | `queue` | the goal ends the queue; nothing is done twice; no task is lost |
//! | `reflect` | the best draft is the answer |
//! | `react` | tools for models that know none |
//! | `again` | whatever a planner dies at, it goes on, and no effect happens twice |
//! | `auto` | a goal within budgets, a loop that ends, a transcript that stays |
//! | `weng` | plan, revision, sub-agent and memory in one trace, and the next process recalls |
//! | `few` | examples by likeness within a budget; thoughts never reach a parser |

mod again;
mod auto;
mod dag;
mod few;
mod kit;
mod queue;
mod react;
mod reflect;
mod steps;
mod weng;
