//! Agents on scripted models: what they reach, how they stop, and what they never do.

mod crash;
mod hostile;
mod kit;
mod limits;
mod people;
mod window;
mod work;
