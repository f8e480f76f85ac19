use stateright::{Model, Property};

use crate::state::{Call, Final, Policy, Row, RowState, Rules, State, Verdict, Worker};

/// Most epochs and tries that are explored.
const EPOCHS: u8 = 4;
const TRIES: u8 = 2;

/// The protocol under a policy, with the rules in force.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// The message's policy.
    pub policy: Policy,
    /// The rules in force.
    pub rules: Rules,
    /// Most attempts that are explored.
    pub attempts: u8,
    /// Most crashes that are explored.
    pub crashes: u8,
    /// Most commits of unknown outcome that are explored.
    pub doubts: u8,
    /// The message's time may run out.
    pub lapses: bool,
    /// Most looks of a person who decides about an unknown outcome.
    pub looks: u8,
}

/// One atomic step of somebody. The number is the worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Takes the number over with the next epoch.
    Acquire(usize),
    /// Sweeps announced calls that nobody makes.
    Sweep(usize),
    /// Announces a call; `told` says whether the worker learns that the commit landed.
    Intend {
        /// The worker.
        worker: usize,
        /// The commit's outcome is known.
        told: bool,
    },
    /// Announces a call whose commit did not land, without learning it.
    IntendLost(usize),
    /// Looks for its own nonce.
    Reread(usize),
    /// Sends the request.
    Call(usize),
    /// The request cannot leave.
    NeverLeaves(usize),
    /// The answer arrives.
    Answer(usize, Verdict),
    /// Records the answer; `told` as for the intent.
    Record {
        /// The worker.
        worker: usize,
        /// The commit's outcome is known.
        told: bool,
    },
    /// Dies and forgets.
    Crash(usize),
    /// Meta executes a request on the way.
    Accept(u8),
    /// Meta refuses a request on the way.
    Refuse(u8),
    /// A request on the way is lost.
    Lose(u8),
    /// An echo naming this attempt arrives.
    Echo(u8),
    /// An echo that names an attempt never begun arrives.
    ForeignEcho,
    /// The policy settles an unknown outcome.
    Settle,
    /// The sender takes the message back.
    Cancel,
    /// The message's time runs out.
    Lapse,
    /// A message whose time has run out is ended.
    Expire,
    /// A person looks at an unknown outcome, to decide about it.
    Look,
    /// The person's decision arrives: to send once more, or to give up. It may arrive again, as calls do.
    Decide {
        /// Send once more.
        resend: bool,
    },
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::stored()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let mut candidates = Vec::new();
        for worker in 0..state.workers.len() {
            Self::worker_actions(state, worker, &mut candidates);
        }
        for attempt in &state.meta.on_the_way {
            candidates.extend([
                Action::Accept(*attempt),
                Action::Refuse(*attempt),
                Action::Lose(*attempt),
            ]);
        }
        candidates.extend(state.meta.accepted.iter().map(|attempt| Action::Echo(*attempt)));
        candidates.extend([Action::ForeignEcho, Action::Settle, Action::Cancel]);
        candidates.extend([Action::Lapse, Action::Expire, Action::Look]);
        candidates.extend([true, false].map(|resend| Action::Decide { resend }));
        // Only steps that change something: a state without any is the end of a run.
        actions.extend(
            candidates
                .into_iter()
                .filter(|action| self.step(state, *action).is_some_and(|next| next != *state)),
        );
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.step(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "at most one acceptance, two under RESEND, and one more for each decision of a person",
                |model: &Self, state: &State| {
                    let bound = 1 + usize::from(model.policy == Policy::Resend) + usize::from(state.looks);
                    state.meta.accepted.len() <= bound
                },
            ),
            Property::always("what is recorded as accepted was accepted", |_, state: &State| {
                state
                    .recorded
                    .iter()
                    .all(|attempt| state.meta.accepted.contains(attempt))
            }),
            Property::always("a second acceptance that is known is counted", |_, state: &State| {
                usize::from(state.duplicates) == state.recorded.len().saturating_sub(1)
            }),
            Property::always(
                "a refused, canceled or expired message was not accepted and will not be",
                |_, state: &State| {
                    !matches!(state.ended, Some(Final::Rejected | Final::Canceled | Final::Expired))
                        || (state.meta.accepted.is_empty() && state.meta.on_the_way.is_empty())
                },
            ),
            Property::always("no call is announced after the message's time", |_, state: &State| {
                !state.late
            }),
            Property::always(
                "nothing is stuck while the owner lives",
                |model: &Self, state: &State| {
                    let settled = state.ended.is_some()
                        || state.row.is_some_and(|row| row.state == RowState::Unknown && row.held);
                    let owned = state
                        .workers
                        .iter()
                        .any(|worker| worker.epoch == state.epoch && worker.epoch > 0);
                    let mut actions = Vec::new();
                    model.actions(state, &mut actions);
                    // A crash, a takeover or a person is no cure that the protocol may rely on.
                    let moves = actions.iter().any(|action| {
                        !matches!(
                            action,
                            Action::Crash(_)
                                | Action::Acquire(_)
                                | Action::Cancel
                                | Action::Lapse
                                | Action::Look
                                | Action::Decide { .. }
                        )
                    });
                    settled || moves || !owned || state.attempts == model.attempts
                },
            ),
            Property::sometimes("a message is accepted", |_, state: &State| {
                state.ended == Some(Final::Accepted)
            }),
        ]
    }
}

impl Protocol {
    fn worker_actions(state: &State, worker: usize, actions: &mut Vec<Action>) {
        actions.extend([Action::Acquire(worker), Action::Sweep(worker), Action::Crash(worker)]);
        match state.workers[worker].call {
            Call::None => {
                actions.push(Action::Intend { worker, told: true });
                actions.extend([Action::Intend { worker, told: false }, Action::IntendLost(worker)]);
            }
            Call::Doubt { .. } => actions.push(Action::Reread(worker)),
            Call::Intended(_) => actions.extend([Action::Call(worker), Action::NeverLeaves(worker)]),
            Call::Called(_) => {
                let verdicts = [
                    Verdict::Accepted,
                    Verdict::RejectedRetry,
                    Verdict::RejectedFinal,
                    Verdict::Unknown,
                ];
                actions.extend(verdicts.map(|verdict| Action::Answer(worker, verdict)));
            }
            Call::Recording(..) => {
                actions.extend([
                    Action::Record { worker, told: true },
                    Action::Record { worker, told: false },
                ]);
            }
        }
    }

    /// The state after `action`; `None` when it cannot happen.
    fn step(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Acquire(worker) => Self::acquire(&mut next, worker)?,
            Action::Sweep(worker) => self.sweep(&mut next, worker)?,
            Action::Intend { worker, told } => self.intend(&mut next, worker, told, true)?,
            Action::IntendLost(worker) => self.intend(&mut next, worker, false, false)?,
            Action::Reread(worker) => reread(&mut next, worker)?,
            Action::Call(worker) => self.call(&mut next, worker)?,
            Action::NeverLeaves(worker) => {
                let Call::Intended(attempt) = next.workers[worker].call else {
                    return None;
                };
                next.workers[worker].call = Call::Recording(attempt, Verdict::NeverSent);
            }
            Action::Answer(worker, verdict) => answer(&mut next, worker, verdict)?,
            Action::Record { worker, told } => self.record(&mut next, worker, told)?,
            Action::Crash(worker) => {
                let idle = Worker {
                    epoch: 0,
                    call: Call::None,
                    swept: false,
                };
                if next.crashes == self.crashes || next.workers[worker] == idle {
                    return None;
                }
                next.crashes += 1;
                next.workers[worker] = idle;
            }
            Action::Accept(attempt) => {
                arrive(&mut next, attempt)?;
                next.meta.accepted.push(attempt);
                next.meta.accepted.sort_unstable();
            }
            Action::Refuse(attempt) => {
                arrive(&mut next, attempt)?;
                next.meta.refused.push(attempt);
                next.meta.refused.sort_unstable();
            }
            Action::Lose(attempt) => arrive(&mut next, attempt)?,
            Action::Echo(attempt) => accepted(&mut next, attempt),
            // An attempt that was never begun: only a forger, or another message's data, names it.
            Action::ForeignEcho if self.rules.echo_checked || state.attempts == self.attempts => return None,
            Action::ForeignEcho => accepted(&mut next, state.attempts + 1),
            Action::Settle => self.settle(&mut next)?,
            Action::Cancel => self.cancel(&mut next)?,
            Action::Lapse => {
                if !self.lapses || next.row.is_none() {
                    return None;
                }
                next.lapsed = true;
            }
            Action::Expire => self.expire(&mut next)?,
            Action::Look => self.look(&mut next)?,
            Action::Decide { resend } => self.decide(&mut next, resend)?,
        }
        Some(next)
    }

    fn acquire(state: &mut State, worker: usize) -> Option<()> {
        // A worker that believes to own the number acquires again only after losing that belief, which a crash stands for.
        if state.workers[worker].epoch != 0 || state.epoch == EPOCHS {
            return None;
        }
        state.epoch += 1;
        state.workers[worker].epoch = state.epoch;
        state.workers[worker].swept = false;
        Some(())
    }

    fn sweep(&self, state: &mut State, worker: usize) -> Option<()> {
        let Worker { epoch, call, swept } = state.workers[worker];
        if epoch == 0 || (swept && !self.rules.repeated_sweep) {
            return None;
        }
        state.workers[worker].swept = !self.rules.repeated_sweep;
        if let Some(row) = &mut state.row
            && row.state == RowState::Sending
            && (row.epoch < epoch || (row.epoch == epoch && call == Call::None))
        {
            row.state = if self.rules.sweep_to_unknown {
                RowState::Unknown
            } else {
                RowState::Queued
            };
        }
        Some(())
    }

    fn intend(&self, state: &mut State, worker: usize, told: bool, lands: bool) -> Option<()> {
        let Worker { epoch, call, .. } = state.workers[worker];
        if call != Call::None || epoch == 0 || state.attempts == self.attempts {
            return None;
        }
        if !told {
            if state.doubts == self.doubts {
                return None;
            }
            state.doubts += 1;
        }
        let row = state.row.as_mut()?;
        let allowed = (!self.rules.fence || epoch == state.epoch)
            && (!self.rules.state_check || row.state == RowState::Queued)
            && !row.held
            && row.tries < TRIES + 2
            && !(state.lapsed && self.rules.intent_in_time);
        if !allowed {
            return None;
        }
        state.late |= state.lapsed;
        state.intents += 1;
        let nonce = (worker as u8, state.intents);
        if lands {
            let attempt = row.attempt + 1;
            state.attempts = state.attempts.max(attempt);
            if self.rules.durable_intent {
                *row = Row {
                    state: RowState::Sending,
                    attempt,
                    tries: row.tries + 1,
                    epoch,
                    nonce,
                    ..*row
                };
            }
            state.workers[worker].call = if told {
                Call::Intended(attempt)
            } else {
                Call::Doubt { nonce }
            };
        } else {
            state.workers[worker].call = Call::Doubt { nonce };
        }
        Some(())
    }

    fn call(&self, state: &mut State, worker: usize) -> Option<()> {
        let Call::Intended(attempt) = state.workers[worker].call else {
            return None;
        };
        state.workers[worker].call = Call::Called(attempt);
        let requests = if self.rules.no_library_retry { 1 } else { 2 };
        state.meta.on_the_way.extend(std::iter::repeat_n(attempt, requests));
        state.meta.on_the_way.sort_unstable();
        Some(())
    }

    fn record(&self, state: &mut State, worker: usize, told: bool) -> Option<()> {
        let Call::Recording(attempt, verdict) = state.workers[worker].call else {
            return None;
        };
        if told {
            state.workers[worker].call = Call::None;
        } else if state.doubts == self.doubts {
            return None;
        } else {
            // The statement lands, the worker does not learn it, and records once more.
            state.doubts += 1;
        }
        if verdict == Verdict::Accepted {
            accepted(state, attempt);
            return Some(());
        }
        let Some(row) = &mut state.row else { return Some(()) };
        let current = !self.rules.record_by_attempt || row.attempt == attempt;
        let open = matches!(row.state, RowState::Sending | RowState::Unknown);
        if !current || !open {
            return Some(());
        }
        match verdict {
            Verdict::Unknown if row.state == RowState::Sending => row.state = RowState::Unknown,
            Verdict::Unknown | Verdict::Accepted => {}
            Verdict::NeverSent => {
                row.tries = row.tries.saturating_sub(1);
                row.requeue();
                if !self.rules.attempt_grows {
                    row.attempt = row.attempt.saturating_sub(1);
                }
            }
            Verdict::RejectedRetry if row.tries < TRIES => row.requeue(),
            Verdict::RejectedRetry | Verdict::RejectedFinal => {
                if row.unsettled && self.rules.unsettled_checked {
                    row.state = RowState::Unknown;
                } else {
                    state.row = None;
                    state.ended = Some(Final::Rejected);
                }
            }
        }
        Some(())
    }

    fn settle(&self, state: &mut State) -> Option<()> {
        let lapsed = state.lapsed;
        let row = state
            .row
            .as_mut()
            .filter(|row| row.state == RowState::Unknown && !row.held)?;
        match self.policy {
            Policy::Resend if row.resends == 0 && !lapsed => {
                row.state = RowState::Queued;
                row.unsettled = true;
                row.resends += u8::from(self.rules.resend_counted);
            }
            Policy::Hold | Policy::Resend => row.held = true,
            Policy::Fail => {
                state.row = None;
                state.ended = Some(Final::GaveUp);
            }
        }
        Some(())
    }

    fn cancel(&self, state: &mut State) -> Option<()> {
        let any = !self.rules.cancel_queued_only;
        let row = state.row.as_mut().filter(|row| row.state == RowState::Queued || any)?;
        if row.unsettled && self.rules.cancel_checked {
            row.state = RowState::Unknown;
        } else {
            state.row = None;
            state.ended = Some(Final::Canceled);
        }
        Some(())
    }

    fn expire(&self, state: &mut State) -> Option<()> {
        let lapsed = state.lapsed;
        let row = state
            .row
            .as_mut()
            .filter(|row| lapsed && row.state == RowState::Queued)?;
        if row.unsettled && self.rules.expiry_checked {
            row.state = RowState::Unknown;
        } else {
            state.row = None;
            state.ended = Some(Final::Expired);
        }
        Some(())
    }

    fn look(&self, state: &mut State) -> Option<()> {
        let row = state.row.filter(|row| row.state == RowState::Unknown)?;
        if state.looks == self.looks || state.seen == Some(row.attempt) {
            return None;
        }
        state.looks += 1;
        state.seen = Some(row.attempt);
        Some(())
    }

    /// The decision stays on its way: a call may arrive twice, and late.
    fn decide(&self, state: &mut State, resend: bool) -> Option<()> {
        let seen = state.seen?;
        let row = state.row.as_mut().filter(|row| row.state == RowState::Unknown)?;
        if self.rules.decision_by_attempt && row.attempt != seen {
            return None;
        }
        if resend {
            row.requeue();
            row.unsettled = true;
            // What matters is whether there was one.
            row.resends = row.resends.max(1);
            // Whoever decides to send once more gives it the time for that.
            state.lapsed = false;
        } else {
            state.row = None;
            state.ended = Some(Final::GaveUp);
        }
        Some(())
    }
}

/// After a commit of unknown outcome: go on only if the row carries this intent's own nonce, else leave it to the sweep.
fn reread(state: &mut State, worker: usize) -> Option<()> {
    let Call::Doubt { nonce } = state.workers[worker].call else {
        return None;
    };
    let own = state
        .row
        .filter(|row| row.nonce == nonce && row.state == RowState::Sending);
    state.workers[worker].call = own.map_or(Call::None, |row| Call::Intended(row.attempt));
    Some(())
}

/// Answers are truthful: an acceptance only if Meta accepted, a refusal only if it refused. No answer at all is always possible.
fn answer(state: &mut State, worker: usize, verdict: Verdict) -> Option<()> {
    let Call::Called(attempt) = state.workers[worker].call else {
        return None;
    };
    let truthful = match verdict {
        Verdict::Accepted => state.meta.accepted.contains(&attempt),
        Verdict::RejectedRetry | Verdict::RejectedFinal => state.meta.refused.contains(&attempt),
        Verdict::NeverSent => false,
        Verdict::Unknown => true,
    };
    truthful.then(|| state.workers[worker].call = Call::Recording(attempt, verdict))
}

/// An acceptance is a fact: recorded in any state, for any attempt begun, whoever brings it. It calls off whatever was still planned.
fn accepted(state: &mut State, attempt: u8) {
    if !state.recorded.contains(&attempt) {
        state.recorded.push(attempt);
        state.recorded.sort_unstable();
        state.duplicates = (state.recorded.len() - 1) as u8;
    }
    state.row = None;
    state.ended = Some(Final::Accepted);
}

fn arrive(state: &mut State, attempt: u8) -> Option<()> {
    let at = state
        .meta
        .on_the_way
        .iter()
        .position(|on_the_way| *on_the_way == attempt)?;
    state.meta.on_the_way.remove(at);
    Some(())
}
