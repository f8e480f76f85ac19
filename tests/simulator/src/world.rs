//! What exists at Meta: portfolios, WABAs, numbers and tokens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::control::{NewWorld, Tier};
use crate::ids::Ids;
use crate::limits::{NumberLimits, UniqueUsers};
use crate::templates::{Templates, defaults};
use crate::usage::Usage;
use crate::users::Viewer;

/// Manages accounts: templates, numbers, webhooks.
pub(crate) const MANAGEMENT: &str = "whatsapp_business_management";
/// Sends and receives messages.
pub(crate) const MESSAGING: &str = "whatsapp_business_messaging";

/// What exists.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) wabas: BTreeMap<String, Arc<Waba>>,
    pub(crate) numbers: HashMap<String, Arc<Number>>,
    pub(crate) tokens: HashMap<String, Arc<Token>>,
}

/// A business portfolio: the messaging limit is its.
#[derive(Debug)]
pub(crate) struct Portfolio {
    pub(crate) id: String,
    /// It knows users by a parent id, too.
    pub(crate) parents: bool,
    pub(crate) tier: Mutex<Tier>,
    pub(crate) unique: Mutex<UniqueUsers>,
}

/// A `WhatsApp` Business Account.
#[derive(Debug)]
pub(crate) struct Waba {
    pub(crate) id: String,
    pub(crate) portfolio: Arc<Portfolio>,
    pub(crate) numbers: Vec<String>,
    /// Whether the app is subscribed to its webhooks.
    pub(crate) subscribed: Arc<AtomicBool>,
    pub(crate) account: Arc<Account>,
}

/// What belongs to an account, and its numbers use.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) templates: Mutex<Templates>,
    pub(crate) usage: Mutex<Usage>,
    /// Marketing is switched off on this API: 131063.
    pub(crate) marketing_disabled: AtomicBool,
    pub(crate) standing: Mutex<Standing>,
}

/// What keeps an account from sending.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) banned: bool,
    /// Meta's words.
    pub(crate) restrictions: Vec<String>,
    /// Unix milliseconds. None: until it is changed again.
    pub(crate) restricted_until: Option<i64>,
}

/// A business phone number.
#[derive(Debug)]
pub(crate) struct Number {
    pub(crate) id: String,
    pub(crate) waba_id: String,
    pub(crate) portfolio: Arc<Portfolio>,
    /// Its WABA's.
    pub(crate) subscribed: Arc<AtomicBool>,
    /// Its WABA's.
    pub(crate) account: Arc<Account>,
    /// Digits with the country code.
    pub(crate) digits: String,
    /// The country's calling code.
    pub(crate) country: String,
    pub(crate) name: String,
    /// Meta removed the number.
    pub(crate) deleted: AtomicBool,
    /// For a test number: the only recipients that it may write to.
    pub(crate) allowed: Mutex<Option<HashSet<String>>>,
    pub(crate) limits: Mutex<NumberLimits>,
}

/// An access token.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) app: bool,
    pub(crate) scopes: Vec<String>,
    pub(crate) wabas: HashSet<String>,
    /// Unix seconds; 0: never.
    pub(crate) expires_at: AtomicI64,
    pub(crate) revoked: AtomicBool,
    /// What `appsecret_proof` must be with this token.
    pub(crate) proof: String,
}

// === impl World ===

impl World {
    /// Adds a portfolio with its accounts, numbers and tokens.
    pub(crate) fn create(&mut self, new: &NewWorld, ids: &Ids, secret: &str, now: i64) -> crate::control::WorldCreated {
        let portfolio = Arc::new(Portfolio {
            id: ids.object(),
            parents: new.parent_user_ids,
            tier: Mutex::new(new.tier),
            unique: Mutex::default(),
        });
        let mut wabas = Vec::new();
        for _ in 0..new.wabas {
            let mut waba = Waba {
                id: ids.object(),
                portfolio: portfolio.clone(),
                numbers: Vec::new(),
                subscribed: Arc::new(AtomicBool::new(new.subscribed)),
                account: Arc::new(account(ids)),
            };
            let numbers: Vec<_> = (0..new.numbers_per_waba)
                .map(|_| self.number(new, ids, &waba))
                .collect();
            waba.numbers = numbers.iter().map(|number| number.phone_number_id.clone()).collect();
            let waba_id = waba.id.clone();
            self.wabas.insert(waba_id.clone(), Arc::new(waba));
            let token = self.token(new, ids, secret, now, HashSet::from([waba_id.clone()]));
            wabas.push(crate::control::WabaCreated {
                waba_id,
                token,
                numbers,
            });
        }
        let all = wabas.iter().map(|waba| waba.waba_id.clone()).collect();
        crate::control::WorldCreated {
            portfolio_id: portfolio.id.clone(),
            token: self.token(new, ids, secret, now, all),
            wabas,
        }
    }

    fn number(&mut self, new: &NewWorld, ids: &Ids, waba: &Waba) -> crate::control::NumberCreated {
        let id = ids.object();
        let digits = format!("{}555{:07}", new.country, self.numbers.len() + 1_000);
        let number = Number {
            id: id.clone(),
            waba_id: waba.id.clone(),
            portfolio: waba.portfolio.clone(),
            subscribed: waba.subscribed.clone(),
            account: waba.account.clone(),
            digits: digits.clone(),
            country: new.country.clone(),
            name: "Simulated Business".to_owned(),
            deleted: AtomicBool::new(false),
            allowed: Mutex::default(),
            limits: Mutex::new(NumberLimits::new(new.throughput)),
        };
        self.numbers.insert(id.clone(), Arc::new(number));
        crate::control::NumberCreated {
            phone_number_id: id,
            e164: format!("+{digits}"),
        }
    }

    fn token(&mut self, new: &NewWorld, ids: &Ids, secret: &str, now: i64, wabas: HashSet<String>) -> String {
        let text = ids.token();
        let scopes = match &new.scopes {
            Some(scopes) => scopes.clone(),
            None => vec![
                MANAGEMENT.to_owned(),
                MESSAGING.to_owned(),
                "business_management".to_owned(),
            ],
        };
        let token = Token {
            app: false,
            scopes,
            wabas,
            expires_at: AtomicI64::new(new.token_expires_in_seconds.map_or(0, |seconds| now + seconds)),
            revoked: AtomicBool::new(false),
            proof: hmac_hex(secret, text.as_bytes()),
        };
        self.tokens.insert(text.clone(), Arc::new(token));
        text
    }

    /// Adds the app's own token.
    pub(crate) fn app_token(&mut self, text: String, secret: &str) {
        let token = Token {
            app: true,
            scopes: Vec::new(),
            wabas: HashSet::new(),
            expires_at: AtomicI64::new(0),
            revoked: AtomicBool::new(false),
            proof: hmac_hex(secret, text.as_bytes()),
        };
        self.tokens.insert(text, Arc::new(token));
    }
}

/// An account with the templates that each has from the beginning.
fn account(ids: &Ids) -> Account {
    let mut templates = Templates::default();
    for new in defaults() {
        // They are templates: a test of theirs says so.
        let _ = templates.add(ids.object(), new);
    }
    Account {
        templates: Mutex::new(templates),
        ..Account::default()
    }
}

// === impl Portfolio ===

impl Portfolio {
    /// How many users it may message outside their windows in a day; `None`: as many as it likes.
    pub(crate) fn limit(&self) -> Option<usize> {
        self.tier.lock().unwrap_or_else(PoisonError::into_inner).users()
    }

    /// How it looks at users.
    pub(crate) fn viewer(&self) -> Viewer<'_> {
        Viewer {
            portfolio: &self.id,
            parents: self.parents,
        }
    }
}

// === impl Number ===

impl Number {
    /// The number as Meta's pages show it.
    pub(crate) fn display(&self) -> String {
        let (area, rest) = self.digits[self.country.len()..].split_at(3);
        let (exchange, line) = rest.split_at(3);
        format!("+{} {area}-{exchange}-{line}", self.country)
    }
}

// === impl Token ===

impl Token {
    /// Whether it works at this time.
    pub(crate) fn valid(&self, now: i64) -> bool {
        let expires = self.expires_at.load(Ordering::Relaxed);
        !self.revoked.load(Ordering::Relaxed) && (expires == 0 || now < expires)
    }

    /// Whether it may use this permission on this account.
    pub(crate) fn may(&self, scope: &str, waba_id: &str) -> bool {
        self.wabas.contains(waba_id) && self.scopes.iter().any(|held| held == scope)
    }
}

/// HMAC-SHA256 in lower-case hex.
pub(crate) fn hmac_hex(secret: &str, message: &[u8]) -> String {
    // HMAC takes a key of any length.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok();
    mac.map_or_else(String::new, |mut mac| {
        mac.update(message);
        hex::encode(mac.finalize().into_bytes())
    })
}
