//! Agents on scripted models: what they reach, how they stop, and what they never do.

mod crash;
mod hooks;
mod hostile;
mod kit;
mod limits;
mod people;
mod team;
mod weather;
mod window;
mod work;
