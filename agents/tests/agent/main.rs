//! Agents on scripted models: what they reach, how they stop, and what they never do.

mod crash;
mod fork;
mod hooks;
mod hostile;
mod kit;
mod limits;
mod people;
mod replay;
mod summary;
mod team;
mod typed;
mod weather;
mod window;
mod work;
