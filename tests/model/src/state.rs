/// What the message's sender asked for when an outcome stays unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Wait for evidence or a person.
    Hold,
    /// Send once more.
    Resend,
    /// Give up; evidence still upgrades.
    Fail,
}

/// The protocol's rules, each of which can be left out.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each rule is independently present or absent: that is what the tests vary"
)]
pub struct Rules {
    /// An intent is refused unless the worker's epoch is the owner's.
    pub fence: bool,
    /// An intent moves only a QUEUED row.
    pub state_check: bool,
    /// The sweep is repeated for as long as a worker owns the number.
    pub repeated_sweep: bool,
    /// The intent is durable before the call begins.
    pub durable_intent: bool,
    /// The sweep ends in UNKNOWN, not in QUEUED.
    pub sweep_to_unknown: bool,
    /// A refusal is recorded only for the attempt it answers.
    pub record_by_attempt: bool,
    /// An attempt number is never used twice.
    pub attempt_grows: bool,
    /// A resend is counted, so that there is one at most.
    pub resend_counted: bool,
    /// An echo counts only for an attempt that was begun, of this message.
    pub echo_checked: bool,
    /// The HTTP client sends a request once.
    pub no_library_retry: bool,
    /// A message with an unsettled earlier attempt is not ended by a refusal.
    pub unsettled_checked: bool,
    /// Nor by its sender.
    pub cancel_checked: bool,
    /// Nor because its time ran out.
    pub expiry_checked: bool,
    /// Only a QUEUED message is taken back.
    pub cancel_queued_only: bool,
    /// An intent is refused once the message's time has run out.
    pub intent_in_time: bool,
    /// A person's decision counts for the attempt that the person saw.
    pub decision_by_attempt: bool,
}

/// A queue row's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowState {
    /// May be sent.
    Queued,
    /// A call was announced.
    Sending,
    /// A call may have been made.
    Unknown,
}

/// The queue row: the truth while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// Its state.
    pub state: RowState,
    /// Attempts begun.
    pub attempt: u8,
    /// Tries spent.
    pub tries: u8,
    /// Epoch of the last intent.
    pub epoch: u8,
    /// Marks the last intent: which worker made it, as which of all intents.
    pub nonce: (u8, u8),
    /// Calls with unknown outcome behind the current attempt.
    pub unsettled: bool,
    /// Resends ordered by policy or by a person.
    pub resends: u8,
    /// Waits for a person.
    pub held: bool,
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Final {
    /// Meta accepted it.
    Accepted,
    /// Meta refused it.
    Rejected,
    /// Its sender took it back.
    Canceled,
    /// Its time ran out.
    Expired,
    /// Its policy, or a person, gave up.
    GaveUp,
}

/// Meta's answer as a worker has it in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Accepted, with an id.
    Accepted,
    /// A Graph error that allows another try.
    RejectedRetry,
    /// A Graph error that does not.
    RejectedFinal,
    /// Nothing left the machine.
    NeverSent,
    /// Anything else.
    Unknown,
}

/// What a worker is doing with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Nothing.
    None,
    /// Its intent's commit has an unknown outcome: the nonce to look for.
    Doubt {
        /// The intent's nonce.
        nonce: (u8, u8),
    },
    /// Its intent is durable; no byte has left.
    Intended(u8),
    /// The request has left; no answer yet.
    Called(u8),
    /// It has the answer and is recording it.
    Recording(u8, Verdict),
}

/// A worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    /// The epoch it believes to own the number at; 0: it does not.
    pub epoch: u8,
    /// What it is doing.
    pub call: Call,
    /// It has swept since it acquired the number.
    pub swept: bool,
}

/// Meta's side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Meta {
    /// Requests on the way, by attempt: executed later, or lost.
    pub on_the_way: Vec<u8>,
    /// Requests that Meta accepted, by attempt.
    pub accepted: Vec<u8>,
    /// Attempts that Meta refused: the answer says so truthfully.
    pub refused: Vec<u8>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The number's owner epoch in Postgres.
    pub epoch: u8,
    /// The queue row, while the message is not settled.
    pub row: Option<Row>,
    /// How the message ended, when it has.
    pub ended: Option<Final>,
    /// Attempts begun: outlives the row.
    pub attempts: u8,
    /// Attempts whose acceptance is recorded.
    pub recorded: Vec<u8>,
    /// A second acceptance was counted.
    pub duplicates: u8,
    /// The workers.
    pub workers: [Worker; 2],
    /// Meta.
    pub meta: Meta,
    /// Crashes so far.
    pub crashes: u8,
    /// Intents so far: makes nonces unique.
    pub intents: u8,
    /// Commits so far whose outcome the worker was not told.
    pub doubts: u8,
    /// The message's time has run out.
    pub lapsed: bool,
    /// A call was announced after that.
    pub late: bool,
    /// The attempt whose outcome a person saw as UNKNOWN and decides about.
    pub seen: Option<u8>,
    /// How often a person looked.
    pub looks: u8,
}

// === impl Rules ===

impl Rules {
    /// The protocol as it is built.
    pub const ALL: Self = Self {
        fence: true,
        state_check: true,
        repeated_sweep: true,
        durable_intent: true,
        sweep_to_unknown: true,
        record_by_attempt: true,
        attempt_grows: true,
        resend_counted: true,
        echo_checked: true,
        no_library_retry: true,
        unsettled_checked: true,
        cancel_checked: true,
        expiry_checked: true,
        cancel_queued_only: true,
        intent_in_time: true,
        decision_by_attempt: true,
    };
}

// === impl Row ===

impl Row {
    /// A late definite answer takes a message out of UNKNOWN, and with it out of the hold that the policy placed.
    pub fn requeue(&mut self) {
        self.state = RowState::Queued;
        self.held = false;
    }
}

// === impl State ===

impl State {
    /// A message just stored, nobody owning its number.
    pub fn stored() -> Self {
        let row = Row {
            state: RowState::Queued,
            attempt: 0,
            tries: 0,
            epoch: 0,
            nonce: (0, 0),
            unsettled: false,
            resends: 0,
            held: false,
        };
        Self {
            epoch: 0,
            row: Some(row),
            ended: None,
            attempts: 0,
            recorded: Vec::new(),
            duplicates: 0,
            workers: [Worker {
                epoch: 0,
                call: Call::None,
                swept: false,
            }; 2],
            meta: Meta::default(),
            crashes: 0,
            intents: 0,
            doubts: 0,
            lapsed: false,
            late: false,
            seen: None,
            looks: 0,
        }
    }
}
