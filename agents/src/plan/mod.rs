//! Planners: several runs towards one goal.
//!
//! Each is a plain struct over an [`Agent`](crate::Agent) or a
//! [`ChatModel`](corbie_core::ChatModel), and each ends as a [`PlanRun`]: what was to be done, what
//! became of it, and an answer that was checked against what was really done.
//!
//! | planner | answers | after |
//! |---|---|---|
//! | [`Planner`] | which steps lead there, and which others when one fails? | plan-and-execute |
//! | [`DagPlanner`] | which tasks, done by which of many workers, side by side? | HuggingGPT (arXiv 2303.17580) |
//! | [`TaskQueue`] | what is to be done next, until the goal is reached? | BabyAGI |
//! | [`Reflection`] | what is wrong with the answer, and how does it read without that? | Reflexion (arXiv 2303.11366) |
//! | [`ReAct`] | how does a model call tools that was never taught to? | ReAct (arXiv 2210.03629) |
//!
//! # Durable
//!
//! A planner is a program whose every answer from outside, of a model or of an agent's run, is
//! written into the [`Journal`](corbie_core::Journal) of its agents before it is used. Starting it
//! again under the same id runs the same program on the answers that are there already, and goes
//! on where they end. The runs of its agents have ids of their own, such as `{id}.2`; what was
//! begun there goes on by their rules, so an effect with a key happens once.
//!
//! # Taint
//!
//! What an agent read from outside comes into the goals of the runs after it, so those begin
//! tainted: a policy judges their calls as if they had read it themselves.

mod ask;
mod child;
mod dag;
mod honest;
mod log;
mod queue;
mod react;
mod reflect;
mod run;
mod steps;
mod words;

pub use dag::{Dag, DagPlanner, Kind, Task, Worker};
pub use queue::{Added, Listed, ReachedCheck, State, TaskList, TaskQueue};
pub use react::ReAct;
pub use reflect::{Critic, Draft, Reflection};
pub use run::{PlanEvent, PlanOptions, PlanRun, PlanWatcher, Status, Step, Tried};
pub use steps::Planner;
