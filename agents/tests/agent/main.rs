//! Agents on scripted models: what they reach, how they stop, and what they never do.

mod crash;
mod kit;
mod limits;
mod people;
mod weather;
mod window;
mod work;
