//! What stands in a stored message's way, in words of the contract.

use outeract_events::timestamp;
use outeract_proto::messaging::v1::Obstacle;
use time::OffsetDateTime;

use crate::problem;
use crate::store::brake::{self, Standing};

/// Reasons beside those of Meta's refusals; `proto/README.md` explains them.
const SCHEDULED: &str = "SCHEDULED";
const HELD: &str = "HELD";
const HELD_BY_OPERATOR: &str = "HELD_BY_OPERATOR";
const CONNECTION_NOT_ACTIVE: &str = "CONNECTION_NOT_ACTIVE";
const CONNECTION_PAUSED: &str = "CONNECTION_PAUSED";
const BRAKED: &str = "BRAKED";
const WAITING_FOR_EARLIER_MESSAGE: &str = "WAITING_FOR_EARLIER_MESSAGE";
const WAITING_FOR_TURN: &str = "WAITING_FOR_TURN";

/// The time that its sender chose has not come.
pub(crate) fn scheduled(until: OffsetDateTime) -> Obstacle {
    obstacle(SCHEDULED, "The time it is to be sent at has not come.", Some(until))
}

/// The last try was refused, and it is not yet tried again.
pub(crate) fn refused(reason: &str, message: String, until: OffsetDateTime) -> Obstacle {
    Obstacle {
        reason: reason.to_owned(),
        message,
        retry_time: Some(timestamp::to_proto(until)),
        refuses: false,
    }
}

/// Its outcome is not known, and its policy waits for evidence or a decision.
pub(crate) fn held() -> Obstacle {
    obstacle(
        HELD,
        "The outcome of a call to Meta is not known: evidence or ResolveUnknown decides.",
        None,
    )
}

/// An operator holds it back, in the operator's words.
pub(crate) fn held_by_operator(why: &str) -> Obstacle {
    Obstacle {
        message: why.to_owned(),
        ..obstacle(HELD_BY_OPERATOR, "", None)
    }
}

/// Meta lets its connection send nothing for now.
pub(crate) fn connection_restricted() -> Obstacle {
    obstacle(
        CONNECTION_NOT_ACTIVE,
        "Meta has banned or restricted the account: see the connection's state_reason. It is sent when Meta lifts that.",
        None,
    )
}

/// Its connection cannot send.
pub(crate) fn connection_not_active() -> Obstacle {
    obstacle(
        CONNECTION_NOT_ACTIVE,
        "The connection cannot send: see its state.",
        None,
    )
}

/// Its connection is paused.
pub(crate) fn connection_paused() -> Obstacle {
    obstacle(CONNECTION_PAUSED, "The connection is paused.", None)
}

/// An answer of Meta's to another message holds back whoever is in its scope.
pub(crate) fn braked(brake: &Standing) -> Obstacle {
    let who = match brake.scope {
        brake::NUMBER => "the number",
        brake::NUMBER_CAMPAIGNS => "the number's campaigns",
        brake::WABA => "the WhatsApp Business Account",
        brake::WABA_CAMPAIGNS => "the WhatsApp Business Account's campaigns",
        _ => "the Meta app",
    };
    let why = problem::of_reason(&brake.reason, None, true).message;
    Obstacle {
        message: format!("An answer of Meta's to another message holds {who} back: {why}"),
        ..obstacle(BRAKED, "", Some(brake.until))
    }
}

/// An earlier message to the same recipient goes first.
pub(crate) fn behind(until: Option<OffsetDateTime>) -> Obstacle {
    obstacle(
        WAITING_FOR_EARLIER_MESSAGE,
        "An earlier message to the same recipient goes first.",
        until,
    )
}

/// Nothing but the number's throughput.
pub(crate) fn turn() -> Obstacle {
    obstacle(
        WAITING_FOR_TURN,
        "It waits for its turn: the number sends as fast as it may.",
        None,
    )
}

fn obstacle(reason: &str, message: &str, until: Option<OffsetDateTime>) -> Obstacle {
    Obstacle {
        reason: reason.to_owned(),
        message: message.to_owned(),
        retry_time: until.map(timestamp::to_proto),
        refuses: false,
    }
}
