//! The send protocol of the messaging service as a model that `stateright` explores completely.
//!
//! One message, two workers, Postgres as atomic statements, and Meta. A worker may pause anywhere (any enabled action may come any time later), crash anywhere and come back;
//! requests may reach Meta late or never; answers may be lost; a commit may land although the worker was told nothing; echoes may come repeatedly, late or never.
//! [`Rules`] switches single rules of the protocol off: the tests show that with all of them the promises hold, and that each one missing breaks a promise.

mod protocol;
mod state;

pub use protocol::{Action, Protocol};
pub use state::{Call, Final, Meta, Policy, Row, RowState, Rules, State, Verdict, Worker};
