//! A small service run by the harness over real sockets and Postgres.

#[cfg(test)]
mod serving;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod tiny;
