//! Words by which users say that they want no marketing, or want it again. A word counts when it is the whole message, whatever its case and the punctuation around it.
//!
//! `CONSENT.md` is written from the table. It holds what people answer to "reply STOP to opt out", and the labels of WhatsApp's own opt-out buttons, in the languages served. Words that are just as well an answer to
//! something else (`cancel`, `end`, `no`, `para`, `fin`) are not in it: a conversation about an appointment is not to end a user's subscription.

/// What a user says about marketing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// No more of it.
    Stop,
    /// More of it.
    Start,
}

/// The words of one language, folded as [`fold`] does.
struct Language {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the table is read by people, and by its test")
    )]
    name: &'static str,
    stop: &'static [&'static str],
    start: &'static [&'static str],
}

/// No word is longer, in characters.
const LONGEST: usize = 40;

#[rustfmt::skip]
static LANGUAGES: &[Language] = &[
    Language {
        name: "English",
        stop: &["stop", "stop all", "stopall", "stop promotions", "stop marketing", "stop messages", "unsubscribe", "opt out", "optout", "opt-out", "remove me"],
        start: &["start", "unstop", "subscribe", "resubscribe", "opt in", "optin", "opt-in", "resume"],
    },
    Language {
        name: "Spanish",
        stop: &["baja", "darme de baja", "dar de baja", "cancelar suscripción", "cancelar suscripcion", "no enviar más", "no enviar mas", "no más mensajes", "no mas mensajes",
                "detener promociones", "detener"],
        start: &["alta", "darme de alta", "suscribir", "suscribirme", "reanudar"],
    },
    Language {
        name: "Portuguese",
        stop: &["sair", "parar", "pare", "descadastrar", "cancelar inscrição", "cancelar inscricao", "cancelar assinatura", "remover", "não enviar mais", "nao enviar mais",
                "parar promoções", "parar promocoes", "interromper promoções"],
        start: &["voltar", "inscrever", "assinar", "recomeçar", "recomecar", "cadastrar"],
    },
    Language {
        name: "French",
        stop: &["arrêt", "arret", "arrêter", "arreter", "désabonner", "desabonner", "me désabonner", "me desabonner", "se désabonner", "se desabonner", "désinscription", "desinscription",
                "désinscrire", "desinscrire", "arrêter les promotions"],
        start: &["reprendre", "abonner", "s'abonner", "m'abonner", "inscription"],
    },
    Language {
        name: "German",
        stop: &["stopp", "abmelden", "abbestellen", "austragen", "abmeldung", "keine werbung", "werbung stoppen"],
        start: &["anmelden", "abonnieren", "wieder anmelden", "fortsetzen"],
    },
    Language {
        name: "Italian",
        stop: &["ferma", "fermati", "cancellami", "disiscrivimi", "disiscriviti", "annulla iscrizione", "cancella iscrizione", "interrompi promozioni"],
        start: &["iscrivimi", "iscriviti", "riprendi", "riattiva"],
    },
    Language {
        name: "Dutch",
        stop: &["stoppen", "afmelden", "uitschrijven", "afmelding", "geen reclame"],
        start: &["aanmelden", "inschrijven", "hervatten"],
    },
    Language {
        name: "Turkish",
        stop: &["dur", "durdur", "ret", "abonelikten çik", "aboneliği iptal et", "listeden çik", "promosyonlari durdur"],
        start: &["başla", "başlat", "abone ol", "devam", "devam et"],
    },
    Language {
        name: "Arabic",
        stop: &["توقف", "قف", "أوقف", "اوقف", "إيقاف", "ايقاف", "إلغاء الاشتراك", "الغاء الاشتراك"],
        start: &["ابدأ", "ابدا", "بدء", "اشتراك", "اشترك", "استئناف"],
    },
    Language {
        name: "Hindi",
        stop: &["रोकें", "रोको", "रुकें", "रुको", "बंद", "बंद करें", "बंद करो", "बन्द करें", "सदस्यता समाप्त करें", "सदस्यता रद्द करें", "स्टॉप"],
        start: &["शुरू", "शुरू करें", "शुरू करो", "सदस्यता लें", "स्टार्ट"],
    },
    Language {
        name: "Indonesian",
        stop: &["berhenti", "henti", "hentikan", "berhenti berlangganan", "stop promosi", "hentikan promosi"],
        start: &["mulai", "mulai lagi", "langganan", "berlangganan", "lanjut", "lanjutkan"],
    },
    Language {
        name: "Russian",
        stop: &["стоп", "отписаться", "отписка", "отпишите", "отпишите меня", "не присылать", "отказаться от рассылки"],
        start: &["старт", "начать", "подписаться", "подписка", "возобновить"],
    },
];

/// The word that a message is.
pub(crate) fn word(text: &str) -> Option<Word> {
    // A longer text, folded, is no word either.
    if text.chars().nth(LONGEST * 2).is_some() {
        return None;
    }
    let folded = fold(text);
    let among = |words: fn(&Language) -> &[&str]| {
        LANGUAGES
            .iter()
            .any(|language| words(language).contains(&folded.as_str()))
    };
    if among(|language| language.stop) {
        Some(Word::Stop)
    } else if among(|language| language.start) {
        Some(Word::Start)
    } else {
        None
    }
}

/// Without what stands around it, in lower case, with single spaces. Turkish i with and without its dot are one, and so are the apostrophes.
fn fold(text: &str) -> String {
    let trimmed = text.trim_matches(|character: char| !is_letter(character));
    let mut folded = String::with_capacity(trimmed.len());
    for character in trimmed.chars().flat_map(char::to_lowercase) {
        match character {
            // What the capital İ leaves behind its i; marks of direction and width.
            '\u{307}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{fe0f}'
            | '\u{640}' => {}
            'ı' => folded.push('i'),
            '’' | '‘' | '`' | '´' => folded.push('\''),
            character if character.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            character => folded.push(character),
        }
    }
    folded
}

/// Letters and digits, with the signs that some scripts write after a letter: of Devanagari for one.
fn is_letter(character: char) -> bool {
    character.is_alphanumeric()
        || ('\u{900}'..='\u{97f}').contains(&character) && !matches!(character, '\u{964}' | '\u{965}')
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_language_served_has_its_words_and_no_word_says_both() {
        assert_eq!(LANGUAGES.len(), 12);
        let mut seen = HashSet::new();
        for language in LANGUAGES {
            for (words, meaning) in [(language.stop, Word::Stop), (language.start, Word::Start)] {
                assert!(words.len() >= 3, "{}", language.name);
                for text in words {
                    assert_eq!(fold(text), *text, "it could never be met");
                    assert!(text.chars().count() <= LONGEST);
                    assert_eq!(word(text), Some(meaning), "{text}");
                    assert!(seen.insert(*text), "{text} stands in the table twice");
                }
            }
        }
    }

    const HEAD: &str = "# Who wants no marketing

Each application has a list, per connection and for all of them. Whoever stands on it gets no marketing template; everything else goes on. `ContactService` lists, imports and removes; every entry
that begins or ends is an event, `user.suppressed` or `user.unsuppressed`, with how it came about.

| A user comes onto the list | for | and off it again |
|---|---|---|
| by a word of the table below, as the whole of a message or the label of a button (`STOP_WORD`) | the connection written to | by one of the other words, if a word alone had put them there |
| by WhatsApp's own switch, webhook field `user_preferences` (`USER_PREFERENCE`) | the connections named | by the same switch |
| when Meta refuses a message with code 131050 (`META_REFUSAL`) | the connection it was sent from | by WhatsApp's own switch |
| by `ImportSuppressions` (`IMPORT`) | the connection named, or all | by `RemoveSuppressions`, which takes off every entry, however it came about |

Times are Meta's: what is delivered late, or again, from before an entry ended changes nothing.

Case does not matter, nor do punctuation, emoji and spaces around the word. Words that are just as well an answer to something else (*cancel*, *end*, *no*) are not in the table.

Written from the table in [`src/contacts/stop_words.rs`](src/contacts/stop_words.rs), which decides; a test keeps this page equal to it.

| Language | No more | More again |
|---|---|---|
";

    #[test]
    fn the_page_says_what_the_table_says() {
        let mut page = HEAD.to_owned();
        for language in LANGUAGES {
            let words = |words: &[&str]| words.join(", ");
            writeln!(
                page,
                "| {} | {} | {} |",
                language.name,
                words(language.stop),
                words(language.start)
            )
            .expect("a text");
        }
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("CONSENT.md");
        if std::env::var_os("UPDATE_PAGES").is_some() {
            std::fs::write(&path, &page).expect("CONSENT.md can be written");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == page,
            "CONSENT.md is behind the table: run `UPDATE_PAGES=1 cargo test -p outeract-messaging --lib stop_words`"
        );
    }

    #[test]
    fn case_and_what_stands_around_a_word_do_not_matter() {
        let stops = [
            "STOP",
            "Stop.",
            "  stop!!! ",
            "«STOP»",
            "stop 🛑",
            "\u{200f}توقف\u{200f}",
            "توقف.",
            "“Stop”",
            "STOP\n",
            "Opt  out",
            "ABMELDEN!",
            "¡BAJA!",
            "DÉSABONNER",
            "СТОП",
            "RET",
            "DUR",
            "ABONELİKTEN ÇIK",
            "abonelikten çık",
            "बंद करें।",
            "BERHENTI",
            "Uitschrijven.",
            "PARE",
            "Stop promotions",
            "*stop*",
        ];
        for text in stops {
            assert_eq!(word(text), Some(Word::Stop), "{text}");
        }
        for text in [
            "Start",
            "START!",
            "Başla",
            "BAŞLA",
            "S’ABONNER",
            "подписаться",
            "शुरू करें",
            "Mulai",
        ] {
            assert_eq!(word(text), Some(Word::Start), "{text}");
        }
    }

    #[test]
    fn a_word_within_a_message_is_no_wish() {
        for text in [
            "",
            " ",
            "...",
            "🛑",
            "please stop",
            "stop it",
            "don't stop",
            "the bus stop",
            "stopp mal bitte",
            "no",
            "cancel",
            "end",
            "yes",
            "stops",
            "nonstop",
            "start the order",
            "STOP STOP",
            "s t o p",
        ] {
            assert_eq!(word(text), None, "{text}");
        }
        assert_eq!(word(&format!("stop{}", "!".repeat(200))), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,300}") {
            let _ = word(&text);
        }
    }
}
