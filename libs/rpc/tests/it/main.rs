//! The gRPC edge over sockets: a small service behind both kinds of listener.

#[cfg(test)]
mod auth;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod siblings;
#[cfg(test)]
mod uploads;
