//! Random contents around Meta's limits, for tests: the same ones for the same seed.

mod contacts;
mod interactive;
mod template;

use outeract_proto::messaging::v1::media::Source;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{
    AudioContent, DocumentContent, ImageContent, LocationContent, Media, MessageContent, ReactionContent,
    StickerContent, TextContent, VideoContent,
};
use prost_types::value::Kind as ValueKind;
use prost_types::{ListValue, Struct, Value};

/// Draws contents, one after the other.
#[derive(Debug)]
pub struct Sampler {
    state: u64,
    /// Whether limits are broken at all.
    broken: bool,
    /// How many decisions the content took so far.
    decisions: u64,
    /// The decision that breaks its limit.
    slip: Option<u64>,
}

const LETTERS: &[char] = &['a', 'Z', '7', '-', '.', 'é', '日', '😀'];
const PLAIN_LETTERS: &[char] = &['a', 'Z', '7', '-', 'é', '日'];
const EMOJI: &[&str] = &["👍", "❤️", "👩🏽‍🚒", "🇩🇪", "1️⃣", ""];
const BAD_EMOJI: &[&str] = &["a", "👍👍", " ", "7"];
const BAD_LINKS: &[&str] = &[
    "",
    "http://example.com/a.png",
    "example.com",
    "ftp://a.b",
    "https://",
    "https:// a",
];
const BAD_ADDRESSES: &[&str] = &["", "example.com", "ftp://a.b", "javascript:alert(1)", "https://"];

// === impl Sampler ===

impl Sampler {
    /// Contents within every limit.
    pub fn valid(seed: u64) -> Self {
        Self {
            state: seed,
            broken: false,
            decisions: 0,
            slip: None,
        }
    }

    /// Contents of which about half break one limit.
    pub fn any(seed: u64) -> Self {
        Self {
            broken: true,
            ..Self::valid(seed)
        }
    }

    /// The next content.
    pub fn content(&mut self) -> MessageContent {
        let start = self.state;
        self.slip = None;
        let content = self.draw();
        if self.broken {
            // Once more, with one of the decisions the other way; or beyond the last one.
            let choice = self.below(2 * self.decisions);
            let next = self.next();
            self.state = start;
            self.slip = Some(choice);
            let content = self.draw();
            self.state = next;
            return content;
        }
        content
    }

    fn draw(&mut self) -> MessageContent {
        self.decisions = 0;
        if self.slips() {
            return MessageContent { kind: None };
        }
        let kind = match self.below(14) {
            0 => Kind::Text(self.plain_text()),
            1 => Kind::Image(ImageContent {
                media: self.required(Self::media),
                caption: self.optional_text(1_024),
            }),
            2 => Kind::Video(VideoContent {
                media: self.required(Self::media),
                caption: self.optional_text(1_024),
            }),
            3 => Kind::Audio(AudioContent {
                media: self.required(Self::media),
                voice: self.below(2) == 0,
            }),
            4 => Kind::Document(DocumentContent {
                media: self.required(Self::media),
                caption: self.optional_text(1_024),
                filename: self.file_name(),
            }),
            5 => Kind::Sticker(StickerContent {
                media: self.required(Self::media),
            }),
            6 => Kind::Location(self.location()),
            7 => Kind::Contacts(self.contacts()),
            8 => Kind::Reaction(self.reaction()),
            9..=11 => Kind::Interactive(self.interactive()),
            _ => Kind::Template(self.template()),
        };
        MessageContent { kind: Some(kind) }
    }

    fn plain_text(&mut self) -> TextContent {
        let preview_url = match self.below(3) {
            0 => None,
            choice => Some(choice == 1),
        };
        TextContent {
            body: self.text(4_096),
            preview_url,
        }
    }

    fn location(&mut self) -> LocationContent {
        LocationContent {
            latitude: self.degrees(90.0),
            longitude: self.degrees(180.0),
            name: self.optional_text(1_000),
            address: self.optional_text(1_000),
        }
    }

    fn reaction(&mut self) -> ReactionContent {
        let slips = self.slips();
        let external_message_id = match self.below(2) {
            0 if slips => String::new(),
            1 if slips => "x".repeat(513),
            _ => "wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI5".to_owned(),
        };
        let emoji = if self.slips() { BAD_EMOJI } else { EMOJI };
        ReactionContent {
            external_message_id,
            emoji: self.one_of(emoji).to_owned(),
        }
    }

    fn degrees(&mut self, most: f64) -> f64 {
        if self.slips() {
            return [most + 0.001, -most - 1.0, f64::NAN, f64::INFINITY][self.index(4)];
        }
        let share = self.below(2_001) as f64 / 1_000.0 - 1.0;
        most * share
    }

    fn media(&mut self) -> Media {
        let slips = self.slips();
        let source = match self.below(3) {
            0 if slips => return Media { source: None },
            0 => Source::FileId(format!("file_{}", "0".repeat(25) + "1")),
            1 if slips => Source::Link(self.one_of(BAD_LINKS).to_owned()),
            1 => Source::Link(self.address("https", 2_048)),
            _ if slips => Source::MediaId(self.one_of(&["", "12a", "-1"]).to_owned()),
            _ => Source::MediaId(self.digits(64)),
        };
        Media { source: Some(source) }
    }

    /// One of Meta's ids.
    fn digits(&mut self, most: usize) -> String {
        if self.slips() {
            return self.one_of(&["", "12a", " "]).to_owned();
        }
        "1".repeat(1 + self.index(most))
    }

    fn file_name(&mut self) -> String {
        if self.slips() {
            return [
                self.letters(241, LETTERS),
                "../a.pdf".to_owned(),
                "a\u{0}.pdf".to_owned(),
            ][self.index(3)]
            .clone();
        }
        self.optional_text(240)
    }

    /// An address that a browser opens.
    fn web_address(&mut self) -> String {
        if self.slips() {
            return match self.below(2) {
                0 => format!("https://example.com/{}", "x".repeat(1_981)),
                _ => self.one_of(BAD_ADDRESSES).to_owned(),
            };
        }
        let scheme = if self.below(4) == 0 { "http" } else { "https" };
        self.address(scheme, 2_000)
    }

    fn address(&mut self, scheme: &str, most: usize) -> String {
        let start = format!("{scheme}://example.com/a?b=");
        let room = most - start.len();
        let length = if self.below(6) == 0 { room } else { self.index(40) };
        start + &"x".repeat(length)
    }

    /// Data of a flow.
    fn data(&mut self) -> Option<Struct> {
        if self.below(3) == 0 {
            return None;
        }
        let mut fields = std::collections::BTreeMap::new();
        for index in 0..self.below(4) {
            fields.insert(format!("key_{index}"), self.value(0));
        }
        if self.slips() {
            let deep = (0..20).fold(Value { kind: None }, |inner, _| Value {
                kind: Some(ValueKind::ListValue(ListValue { values: vec![inner] })),
            });
            let number = Value {
                kind: Some(ValueKind::NumberValue(f64::NAN)),
            };
            fields.insert("broken".to_owned(), [deep, number][self.index(2)].clone());
        }
        Some(Struct { fields })
    }

    fn value(&mut self, depth: usize) -> Value {
        let kind = match self.below(if depth < 4 { 6 } else { 4 }) {
            0 => ValueKind::NullValue(0),
            1 => ValueKind::BoolValue(self.below(2) == 0),
            2 => ValueKind::NumberValue([0.0, 1.0, -2.5, 1e300, 9_007_199_254_740_993.0][self.index(5)]),
            3 => ValueKind::StringValue(self.letters(10, LETTERS)),
            4 => ValueKind::ListValue(ListValue {
                values: (0..self.below(3)).map(|_| self.value(depth + 1)).collect(),
            }),
            _ => ValueKind::StructValue(Struct {
                fields: (0..self.below(3))
                    .map(|index| (format!("k{index}"), self.value(depth + 1)))
                    .collect(),
            }),
        };
        Value { kind: Some(kind) }
    }

    /// A text of 1 to `most` characters.
    fn text(&mut self, most: usize) -> String {
        self.text_of(most, LETTERS)
    }

    fn text_of(&mut self, most: usize, letters: &[char]) -> String {
        if self.slips() {
            return match self.below(4) {
                0 => String::new(),
                1 => " \n\t".to_owned(),
                _ => self.letters(most + 1, letters),
            };
        }
        let length = match self.below(6) {
            0 => most,
            1 => 1,
            _ => 1 + self.index(most.min(30)),
        };
        self.letters(length, letters)
    }

    /// A text that may be empty.
    fn optional_text(&mut self, most: usize) -> String {
        if self.below(3) == 0 {
            return String::new();
        }
        let text = self.text(most);
        // Nothing is no fault here.
        if text.is_empty() { "x".repeat(most + 1) } else { text }
    }

    /// A text that may stand in a template.
    fn template_text(&mut self, most: usize) -> String {
        if self.slips() {
            return self.one_of(&["a\nb", "a\tb", "a     b", ""]).to_owned();
        }
        self.text_of(most, PLAIN_LETTERS)
    }

    fn letters(&mut self, length: usize, letters: &[char]) -> String {
        (0..length).map(|_| letters[self.index(letters.len())]).collect()
    }

    /// A part that must be there.
    fn required<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (!self.slips()).then(|| draw(self))
    }

    /// A part that may be there.
    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| draw(self))
    }

    /// Elements of a list of `least` to `most`.
    fn many<T>(&mut self, least: usize, most: usize, mut draw: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = match (self.slips(), self.below(2)) {
            (true, 0) if least > 0 => least - 1,
            (true, _) => most + 1,
            (false, 0) => least,
            (false, _) => least + self.index(most - least + 1),
        };
        (0..count).map(|_| draw(self)).collect()
    }

    /// A text unlike the others, unless it slips.
    fn distinct(&mut self, text: String, most: usize) -> String {
        if self.slips() || text.trim().is_empty() || text.chars().count() > most {
            return text;
        }
        // Eight digits hold more than is ever drawn.
        let tail = format!("{:08}", self.next() % 100_000_000);
        let kept = most.saturating_sub(tail.len());
        text.chars().take(kept).collect::<String>() + &tail
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.index(choices.len())]
    }

    /// Whether this decision breaks a limit.
    fn slips(&mut self) -> bool {
        self.decisions += 1;
        self.slip == Some(self.decisions - 1)
    }

    fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
