//! What every provider must keep, whatever its vendor: one table of fixtures, one list of checks.
//!
//! A provider joins by a file of its own here and a line in [`fixture::all`]; a provider of the registry without a
//! fixture fails. The checks know a provider only from outside: they read the requests that it makes and hold them to the
//! vendor's limits with code of their own.

mod fixture;
mod hostile;
mod requests;
mod responses;
mod schemas;
mod slack;
mod webhook;
