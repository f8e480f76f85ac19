//! Where files' bytes are kept, as the configuration says it.

use std::path::PathBuf;

use outeract_runtime::config::{Invalid, Value};
use url::Url;

/// Where files' bytes are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesUrl {
    /// A directory (`file:///var/lib/outeract`).
    Directory {
        /// Its path.
        path: PathBuf,
        /// Every replica sees the same directory (`?shared=true`): a volume that all of them mount, or one machine.
        shared: bool,
    },
    /// A bucket or container (`s3://bucket/prefix`, `gs://bucket`, `az://container`). Credentials, region and endpoint come from the provider's usual environment variables.
    Bucket {
        /// Whose it is.
        provider: Provider,
        /// Its name.
        bucket: String,
        /// What goes before every key; may be empty.
        prefix: String,
    },
}

/// Whose object store it is, or whose interface it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3 and what speaks like it; variables `AWS_…`.
    S3,
    /// Google Cloud Storage; variables `GOOGLE_…`.
    Google,
    /// Azure Blob Storage; variables `AZURE_…`.
    Azure,
}

// === impl FilesUrl ===

impl FilesUrl {
    /// Whether several replicas would each have files of their own.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Directory { shared: false, .. })
    }

    fn directory(url: &Url) -> Option<Self> {
        let shared = match url.query() {
            None => false,
            Some("shared=true") => true,
            Some(_) => return None,
        };
        let path = url.to_file_path().ok()?;
        // Not the root: files would lie among those of the system.
        path.parent()?;
        Some(Self::Directory { path, shared })
    }

    fn bucket(url: &Url, provider: Provider) -> Option<Self> {
        let bare =
            url.username().is_empty() && url.password().is_none() && url.port().is_none() && url.query().is_none();
        let bucket = url.host_str().filter(|host| bare && !host.is_empty())?;
        Some(Self::Bucket {
            provider,
            bucket: bucket.to_owned(),
            prefix: url.path().trim_matches('/').to_owned(),
        })
    }
}

impl Value for FilesUrl {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let url = Url::parse(text).ok().filter(|url| url.fragment().is_none());
        let read = url.and_then(|url| match url.scheme() {
            "file" => Self::directory(&url),
            "s3" => Self::bucket(&url, Provider::S3),
            "gs" => Self::bucket(&url, Provider::Google),
            "az" => Self::bucket(&url, Provider::Azure),
            _ => None,
        });
        read.ok_or_else(|| {
            Invalid::must(
                "be s3://bucket, gs://bucket, az://container, file:///directory or file:///directory?shared=true",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> FilesUrl {
        FilesUrl::parse(text).expect(text)
    }

    #[test]
    fn each_provider_has_its_scheme() {
        for (text, provider) in [
            ("s3://b/a/c/", Provider::S3),
            ("gs://b/a/c", Provider::Google),
            ("az://b/a/c", Provider::Azure),
        ] {
            let expected = FilesUrl::Bucket {
                provider,
                bucket: "b".to_owned(),
                prefix: "a/c".to_owned(),
            };
            assert_eq!(read(text), expected);
            assert!(!read(text).is_local());
        }
        assert_eq!(
            read("s3://outeract-files"),
            FilesUrl::Bucket {
                provider: Provider::S3,
                bucket: "outeract-files".to_owned(),
                prefix: String::new()
            }
        );
    }

    #[test]
    fn a_directory_is_one_replicas_own_unless_it_says_otherwise() {
        assert!(read("file:///var/lib/outeract").is_local());
        assert!(!read("file:///var/lib/outeract?shared=true").is_local());
        assert_eq!(
            read("file:///var/lib/with%20space"),
            FilesUrl::Directory {
                path: "/var/lib/with space".into(),
                shared: false
            }
        );
    }

    #[test]
    fn what_is_ambiguous_or_holds_secrets_is_refused() {
        for bad in [
            "",
            "/var/lib",
            "file:///",
            "file://host/dir",
            "file:///dir?shared=yes",
            "file:///dir?shared=true&x=1",
            "file:///dir#x",
            "s3://",
            "s3://key:secret@bucket",
            "s3://bucket?region=x",
            "s3://bucket:9000/x",
            "http://bucket",
            "memory:///",
        ] {
            assert!(FilesUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
