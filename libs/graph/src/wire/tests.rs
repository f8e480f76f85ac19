use outeract_domain::Text as DomainText;
use outeract_domain::content::{Check, Image, MediaSource, Reaction};

use super::*;

const MESSAGE: &str = "wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI5";

fn text(preview: Option<bool>) -> Content {
    Content::Text(DomainText::new("Hello! ☺".to_owned(), preview, "body").expect("valid"))
}

fn json(to: &str, content: &Content, reply_to: Option<&Wamid>) -> String {
    let to = to.parse().expect("a recipient");
    let message = Message::new(&to, content, reply_to, "evt_0.1").expect("resolved");
    String::from_utf8(message.to_json()).expect("UTF-8")
}

#[test]
fn text_as_meta_reads_it() {
    assert_eq!(
        json("+14155551234", &text(None), None),
        r#"{"messaging_product":"whatsapp","recipient_type":"individual","to":"+14155551234","type":"text","text":{"body":"Hello! ☺"},"biz_opaque_callback_data":"evt_0.1"}"#
    );
    let preview = json("+14155551234", &text(Some(true)), None);
    assert!(preview.contains(r#""text":{"body":"Hello! ☺","preview_url":true}"#));
    let to_user = json("US.13491208655302741918", &text(None), None);
    assert!(to_user.contains(r#""recipient":"US.13491208655302741918""#) && !to_user.contains(r#""to""#));
}

#[test]
fn a_reply_names_the_message_and_a_reaction_is_none() {
    let message = Wamid::new(MESSAGE).expect("valid");
    let reply = json("+14155551234", &text(None), Some(&message));
    assert!(reply.contains(&format!(r#""context":{{"message_id":"{MESSAGE}"}}"#)));
    let reaction = Check::of(|check| Reaction::new(MESSAGE.to_owned(), String::new(), check)).expect("valid");
    let reaction = json("+14155551234", &Content::Reaction(reaction), Some(&message));
    assert!(
        !reaction.contains("context") && reaction.contains(r#""emoji":"""#),
        "{reaction}"
    );
}

#[test]
fn a_file_that_meta_was_not_given_has_no_form() {
    let file = "file_00000000000000000000000001";
    let image = Check::of(|check| {
        let media = MediaSource::file(file, check);
        Image::new(media, String::new(), check).map(Content::Image)
    })
    .expect("valid");
    let to = "+14155551234".parse().expect("a recipient");
    let error = Message::new(&to, &image, None, "evt_0.1").expect_err("unresolved");
    assert_eq!(error, Unresolved(file.parse().expect("valid")));
}

#[test]
fn debug_hides_whom_and_what() {
    let to = "+14155551234".parse().expect("a recipient");
    let content = text(None);
    let message = Message::new(&to, &content, None, "evt_0.1").expect("resolved");
    assert_eq!(format!("{message:?}"), "Message(…)");
}

#[test]
fn read_receipts_with_and_without_typing() {
    let message = Wamid::new(MESSAGE).expect("valid");
    let json = |read: &Read<'_>| String::from_utf8(read.to_json()).expect("UTF-8");
    assert_eq!(
        json(&Read::new(&message)),
        format!(r#"{{"messaging_product":"whatsapp","status":"read","message_id":"{MESSAGE}"}}"#)
    );
    assert_eq!(
        json(&Read::and_typing(&message)),
        format!(
            r#"{{"messaging_product":"whatsapp","status":"read","message_id":"{MESSAGE}","typing_indicator":{{"type":"text"}}}}"#
        )
    );
    assert_eq!(format!("{:?}", Read::new(&message)), "Read(…)");
}
