//! `UploadFile`: what the file is, then its bytes.

use std::time::Duration;

use outeract_proto::messaging::v1::upload_file_request::Part;
use outeract_proto::messaging::v1::{FileMetadata, UploadFileRequest, UploadFileResponse};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Fault, Reply, Violation, caller};
use tonic::{Code, Request, Response, Status, Streaming};

use super::file_service::Files;
use crate::files::{Declared, MimeType, Upload, is_program_name, too_large, type_refused};

/// Bytes of one message.
const CHUNK: usize = 64 << 10;
const LONGEST_NAME: usize = 240;

pub(super) async fn upload_file(
    service: &Files,
    request: Request<Streaming<UploadFileRequest>>,
) -> Reply<UploadFileResponse> {
    let application = caller::application(&request)?.id;
    let _slot = service.files.slot(application)?;
    let mut parts = request.into_inner();
    let Some(Part::Metadata(metadata)) = next(&mut parts, service.stall).await? else {
        return Err(Fault::invalid("metadata", "must be the first part").into());
    };
    let declared = check(metadata)?;
    let mut upload = service.files.upload(application, declared);
    let taken = match take(&mut upload, &mut parts, service.stall).await {
        Ok(()) => upload.finish().await.map_err(Status::from),
        Err(status) => Err(status),
    };
    match taken {
        Ok(file) => Ok(Response::new(UploadFileResponse {
            file: Some(file.to_proto()),
        })),
        Err(status) => {
            upload.abandon().await;
            Err(status)
        }
    }
}

/// Takes all bytes.
async fn take(upload: &mut Upload, parts: &mut Streaming<UploadFileRequest>, stall: Duration) -> Result<(), Status> {
    while let Some(part) = next(parts, stall).await? {
        match part {
            Part::Chunk(bytes) if (1..=CHUNK).contains(&bytes.len()) => upload.push(&bytes).await?,
            Part::Chunk(_) => return Err(Fault::invalid("chunk", format!("must be 1 to {CHUNK} bytes")).into()),
            Part::Metadata(_) => return Err(Fault::invalid("metadata", "must come once, first").into()),
        }
    }
    Ok(())
}

/// The next part; none at the end. Each brings something, so one that does not come in time means that no byte does.
async fn next(parts: &mut Streaming<UploadFileRequest>, stall: Duration) -> Result<Option<Part>, Status> {
    let Ok(part) = tokio::time::timeout(stall, parts.message()).await else {
        return Err(stalled(stall).into());
    };
    match part? {
        None => Ok(None),
        Some(UploadFileRequest { part: Some(part) }) => Ok(Some(part)),
        Some(UploadFileRequest { part: None }) => Err(Fault::invalid("part", "must be metadata or a chunk").into()),
    }
}

fn stalled(stall: Duration) -> Fault {
    Fault::new(
        Code::DeadlineExceeded,
        ErrorReason::UploadStalled,
        format!("no bytes came for {} seconds; nothing was kept", stall.as_secs()),
    )
}

/// What can be told of a file before its bytes come; every broken limit at once.
fn check(metadata: FileMetadata) -> Result<Declared, Fault> {
    let mut violations = Vec::new();
    if !is_name(&metadata.filename) {
        violations.push(Violation::new(
            "metadata.filename",
            format!("must be at most {LONGEST_NAME} characters without `/`, control characters or marks of direction"),
        ));
    }
    let mime_type = MimeType::parse(&metadata.mime_type);
    if mime_type.is_none() {
        violations.push(Violation::new(
            "metadata.mime_type",
            "must be a MIME type such as image/jpeg",
        ));
    }
    let size = u64::try_from(metadata.size_bytes).ok();
    if size.is_none() {
        violations.push(Violation::new("metadata.size_bytes", "must not be negative"));
    }
    let sha256 = sha256(&metadata.sha256).ok();
    if sha256.is_none() {
        violations.push(Violation::new("metadata.sha256", "must be empty or 64 hex digits"));
    }
    let (Some(mime_type), Some(size), Some(sha256), true) = (mime_type, size, sha256, violations.is_empty()) else {
        return Err(Fault::invalid_many(violations));
    };
    if is_program_name(&metadata.filename) {
        return Err(type_refused("a file of this name is a program", mime_type.as_str()));
    }
    let kind = mime_type.kind();
    let kind = kind.ok_or_else(|| type_refused("Meta takes no files of this type", mime_type.as_str()))?;
    let most = kind.max_bytes(true);
    if size > most {
        return Err(too_large(most));
    }
    Ok(Declared {
        name: metadata.filename,
        mime_type,
        kind,
        size: (size > 0).then_some(size),
        sha256,
    })
}

fn is_name(name: &str) -> bool {
    // With these, a name reads as if it ended otherwise.
    let turns = |character: char| matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let fits = name.len() <= 4 * LONGEST_NAME && name.chars().count() <= LONGEST_NAME;
    fits && !name
        .chars()
        .any(|character| character == '/' || character.is_control() || turns(character))
}

/// The hash in a request; none: there is none to check.
fn sha256(text: &str) -> Result<Option<[u8; 32]>, hex::FromHexError> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash)?;
    Ok(Some(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Kind;

    fn metadata() -> FileMetadata {
        FileMetadata {
            filename: "Rechnung 7.pdf".to_owned(),
            mime_type: "application/pdf".to_owned(),
            size_bytes: 10,
            sha256: "ab".repeat(32),
        }
    }

    #[test]
    fn what_is_declared_well_is_taken() {
        let declared = check(metadata()).expect("valid");
        assert_eq!((declared.kind, declared.size), (Kind::Document, Some(10)));
        assert_eq!(declared.sha256, Some([0xab; 32]));
        let declared = check(FileMetadata {
            mime_type: "image/png".to_owned(),
            ..FileMetadata::default()
        })
        .expect("valid");
        assert_eq!(
            (declared.kind, declared.size, declared.sha256),
            (Kind::Image, None, None)
        );
    }

    #[test]
    fn every_broken_field_is_named_at_once() {
        let fault = check(FileMetadata {
            filename: "a/b".to_owned(),
            mime_type: "pdf".to_owned(),
            size_bytes: -1,
            sha256: "ab".to_owned(),
        })
        .expect_err("broken");
        let paths: Vec<_> = fault
            .violations()
            .iter()
            .map(|violation| violation.path.as_str())
            .collect();
        assert_eq!(
            paths,
            [
                "metadata.filename",
                "metadata.mime_type",
                "metadata.size_bytes",
                "metadata.sha256"
            ]
        );
        for name in ["a\nb", "a\0", "gpj.\u{202e}exe", &"n".repeat(241)] {
            let fault = check(FileMetadata {
                filename: name.to_owned(),
                ..metadata()
            });
            assert_eq!(fault.expect_err("broken").violations()[0].path, "metadata.filename");
        }
        let long = FileMetadata {
            filename: "\u{1f600}".repeat(240),
            ..metadata()
        };
        assert!(check(long).is_ok());
    }

    #[test]
    fn what_meta_never_takes_is_refused_before_a_byte_comes() {
        let refused = |metadata| {
            let fault = check(metadata).expect_err("refused");
            (fault.code(), fault.reason())
        };
        let of_type = |mime_type: &str| FileMetadata {
            mime_type: mime_type.to_owned(),
            ..metadata()
        };
        let type_refused = (Code::InvalidArgument, ErrorReason::FileTypeRefused);
        assert_eq!(refused(of_type("image/gif")), type_refused);
        assert_eq!(refused(of_type("application/x-msdownload")), type_refused);
        let program = FileMetadata {
            filename: "invoice.pdf.exe".to_owned(),
            ..metadata()
        };
        assert_eq!(refused(program), type_refused);
        let large = FileMetadata {
            size_bytes: (16 << 20) + 1,
            ..of_type("video/mp4")
        };
        assert_eq!(refused(large), (Code::OutOfRange, ErrorReason::FileTooLarge));
        assert!(
            check(FileMetadata {
                size_bytes: 16 << 20,
                ..of_type("video/mp4")
            })
            .is_ok()
        );
    }
}
