//! Whether Meta takes a message that has a good shape: whom it is for, what it uses, and the limits.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::errors::Refusal;
use crate::limits::NumberLimits;
use crate::media::Family;
use crate::meta::{Meta, Switches};
use crate::outbox::StatusPlan;
use crate::rules::{Checked, MediaUse, Source, Target, TemplateUse};
use crate::users::User;
use crate::world::Number;

/// A message that is taken.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) user: User,
    /// The user's window was open.
    pub(super) open: bool,
    pub(super) template: Option<Chosen>,
}

/// The template of a message that is taken.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) id: String,
    pub(super) category: &'static str,
    /// The message waits until the template was judged.
    pub(super) paced: bool,
}

const MARKETING: &str = "marketing";
const AUTHENTICATION: &str = "authentication";

/// Takes a message, or refuses it. What is told later by a status is noted in the plan.
pub(super) fn admit(
    meta: &Meta,
    number: &Number,
    checked: &Checked,
    now_ms: i64,
    plan: &mut StatusPlan,
) -> Result<Admitted, Refusal> {
    let user = whom(meta, number, &checked.target)?;
    not_banned(number)?;
    for medium in &checked.media {
        medium_for(meta, number, medium, now_ms)?;
    }
    let template = match &checked.template {
        Some(asked) => Some(choose(number, asked, now_ms)?),
        None => None,
    };
    if let Some(target) = &checked.reacts_to {
        reaction(meta, number, &user, target, now_ms, plan);
    }
    let category = template.as_ref().map(|template| template.category);
    if category == Some(AUTHENTICATION) && matches!(checked.target, Target::UserId(_)) {
        let details = "Authentication templates can only be sent to a phone number";
        return Err(Refusal::of_code(131_062).details(details));
    }
    if category == Some(MARKETING) && number.account.marketing_disabled.load(Ordering::Relaxed) {
        let details = "Marketing messages of this account go through the Marketing Messages API";
        return Err(Refusal::of_code(131_063).details(details));
    }
    let switches = meta.switches();
    let mut limits = number.limits.lock().unwrap_or_else(PoisonError::into_inner);
    let open = limits.window_open(&user.key, now_ms);
    unrestricted(number, open, now_ms)?;
    reach(&user, category, open, plan)?;
    within(
        switches,
        number,
        &mut limits,
        &user.key,
        (open, template.is_some()),
        now_ms,
        plan,
    )?;
    Ok(Admitted { user, open, template })
}

/// Whether the account is banned.
fn not_banned(number: &Number) -> Result<(), Refusal> {
    let standing = number.account.standing.lock().unwrap_or_else(PoisonError::into_inner);
    if standing.banned {
        let details = "Business Account locked: it was disabled for violating a policy";
        return Err(Refusal::of_code(131_031).details(details));
    }
    Ok(())
}

/// Whether the account may write, within a window or outside of it.
fn unrestricted(number: &Number, open: bool, now_ms: i64) -> Result<(), Refusal> {
    let standing = number.account.standing.lock().unwrap_or_else(PoisonError::into_inner);
    let kind = if open {
        "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"
    } else {
        "RESTRICTED_BIZ_INITIATED_MESSAGING"
    };
    let lasts = standing.restricted_until.is_none_or(|until| now_ms < until);
    if lasts && standing.restrictions.iter().any(|restriction| restriction == kind) {
        return Err(Refusal::of_code(368).details("The account is restricted for violating a policy"));
    }
    Ok(())
}

/// The recipient, if the number may write to it.
fn whom(meta: &Meta, number: &Number, target: &Target) -> Result<User, Refusal> {
    // Meta's pages name no code for an id of nobody's or of another portfolio's: to this portfolio there is no such user.
    let user = meta
        .users
        .resolve(number.portfolio.viewer(), target)
        .ok_or_else(|| Refusal::of_code(131_026).details("The user id is not of this business portfolio"))?;
    if user.key == number.digits {
        return Err(Refusal::of_code(131_021).details("Recipient and sender phone number is the same."));
    }
    let allowed = number.allowed.lock().unwrap_or_else(PoisonError::into_inner);
    if allowed.as_ref().is_some_and(|allowed| !allowed.contains(&user.key)) {
        let details =
            "Recipient phone number not in allowed list: Add recipient phone number to recipient list and try again.";
        return Err(Refusal::of_code(131_030).details(details));
    }
    Ok(user)
}

/// Whether the number can use the medium for this kind of message. A value that is no medium of the number's is an invalid parameter, 131009; a medium or a link that `WhatsApp` cannot make
/// a message of is 131053.
fn medium_for(meta: &Meta, number: &Number, used: &MediaUse, now_ms: i64) -> Result<(), Refusal> {
    match &used.source {
        Source::Link(link) => {
            let broken = meta.broken_links.read().unwrap_or_else(PoisonError::into_inner);
            if broken.contains(link) {
                let details = format!(
                    "{}: Downloading media from weblink failed with http code 404",
                    used.path
                );
                return Err(Refusal::of_code(131_053).details(details));
            }
            Ok(())
        }
        Source::Id(id) => {
            let medium = meta
                .media
                .get(id, now_ms)
                .filter(|medium| medium.phone_number_id == number.id);
            let Some(medium) = medium else {
                let details = format!(
                    "Param {} is not a valid whatsapp business account media attachment ID",
                    used.path
                );
                return Err(Refusal::of_code(131_009).details(details));
            };
            // Any file that was taken can be sent as a document.
            if medium.family == used.family || used.family == Family::Document {
                return Ok(());
            }
            let details = format!(
                "{}: {} cannot be sent as {}",
                used.path,
                medium.mime,
                used.family.word()
            );
            Err(Refusal::of_code(131_053).details(details))
        }
    }
}

/// The template, if it can be sent and what the message brings fits.
fn choose(number: &Number, used: &TemplateUse, now_ms: i64) -> Result<Chosen, Refusal> {
    let templates = number.account.templates.lock().unwrap_or_else(PoisonError::into_inner);
    let TemplateUse { name, language, .. } = used;
    let found = templates.find(name, language);
    let (template, code) = match found {
        None => (None, 132_001),
        Some(template) => match template.status.as_str() {
            "APPROVED" => (Some(template), 0),
            "PAUSED" => (None, 132_015),
            "DISABLED" => (None, 132_016),
            _ => (None, 132_001),
        },
    };
    let Some(template) = template else {
        let details = match code {
            132_015 => format!("template ({name}) in {language} is paused"),
            132_016 => format!("template ({name}) in {language} is disabled"),
            _ => format!("template name ({name}) does not exist in {language}"),
        };
        return Err(Refusal::of_code(code).details(details));
    };
    let chosen = Chosen {
        id: template.id.clone(),
        category: match template.category.as_str() {
            "AUTHENTICATION" => AUTHENTICATION,
            "MARKETING" => MARKETING,
            _ => "utility",
        },
        paced: template.paced,
    };
    let definition = template.definition.clone();
    drop(templates);
    definition.fit(used, now_ms)?;
    Ok(chosen)
}

/// A reaction to what cannot be reacted to is accepted, and fails.
fn reaction(meta: &Meta, number: &Number, user: &User, target: &str, now_ms: i64, plan: &mut StatusPlan) {
    let message = meta.known.find(target, now_ms);
    if !message.is_some_and(|message| message.takes_reaction(&number.id, &user.key)) {
        plan.fail = Some((131_009, "Parameter value is not valid".to_owned()));
    }
}

/// Whether the user gets such a message.
fn reach(user: &User, category: Option<&str>, open: bool, plan: &mut StatusPlan) -> Result<(), Refusal> {
    let marketing = category == Some(MARKETING);
    let (code, details) = if user.traits.unreachable {
        (131_026, "Message undeliverable")
    } else if marketing && user.stopped {
        (131_050, "The user stopped marketing messages from this business")
    } else if marketing && user.traits.in_experiment && !open {
        (130_472, "The user is part of an experiment")
    } else if marketing && user.traits.marketing_capped {
        (
            131_049,
            "In order to maintain a healthy ecosystem engagement, the message failed to be delivered.",
        )
    } else {
        return Ok(());
    };
    if !user.traits.fails_later {
        return Err(Refusal::of_code(code).details(details));
    }
    plan.fail = Some((code, details.to_owned()));
    Ok(())
}

/// The limits that are enforced. Nothing is counted of what is refused, but for the throughput.
fn within(
    switches: Switches,
    number: &Number,
    limits: &mut NumberLimits,
    user: &str,
    (open, template): (bool, bool),
    now_ms: i64,
    plan: &mut StatusPlan,
) -> Result<(), Refusal> {
    if switches.throughput && !limits.take_throughput(now_ms) {
        return Err(Refusal::of_code(130_429).details("Cloud API message throughput has been reached."));
    }
    if switches.window && !open && !template {
        let details = "Message failed to send because more than 24 hours have passed since the customer last replied to \
                       this number.";
        if !switches.window_fails_later {
            return Err(Refusal::of_code(131_047).details(details));
        }
        plan.fail = Some((131_047, "Re-engagement message".to_owned()));
    }
    if switches.pair && !limits.pair_free(user, now_ms) {
        return Err(Refusal::of_code(131_056).details(
            "Message failed to send because there were too many messages sent from this phone number to the same phone \
             number in a short period of time.",
        ));
    }
    // Users are counted whom something is delivered to outside their windows. Meta's pages name no code for the limit itself; 131048 is the one for restrictions on how many messages a number can send.
    if switches.tier && !open && plan.fail.is_none() {
        let limit = number.portfolio.limit();
        let mut unique = number.portfolio.unique.lock().unwrap_or_else(PoisonError::into_inner);
        if !unique.take(user, limit, now_ms) {
            return Err(
                Refusal::of_code(131_048).details("The messaging limit of the business portfolio has been reached.")
            );
        }
    }
    if switches.pair {
        limits.take_pair(user, now_ms);
    }
    Ok(())
}
