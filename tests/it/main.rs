//! The product driven from outside, and the rules that hold for the tree as a whole.

mod accounts;
mod backup;
mod canaries;
mod coap;
mod command_line;
mod custody;
mod documents;
mod door;
mod drain;
mod factory;
mod factory_kill;
mod factory_line;
mod factory_power;
mod first_command;
mod https;
mod layers;
mod limits;
mod mail;
mod oauth;
mod revocation;
mod rotation;
mod secrets;
mod store;
mod support;
mod walk;
mod web;
