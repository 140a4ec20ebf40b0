//! Tests made from our own OpenAPI document. A route that is new is tested without being named here; where a test needs
//! to know more of it than the document says, it fails and says where an example is to be added.

mod automatic;
mod bodies;
mod changes;
mod commands;
mod document;
mod examples;
mod fuzz;
mod injections;
mod keys;
mod orgs;
mod queries;
mod traces;
mod world;
