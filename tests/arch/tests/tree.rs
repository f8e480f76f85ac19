//! Who may depend on whom, and whether documents and code agree.

#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it must be"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use cargo_metadata::{DependencyKind, MetadataCommand};
use outeract_proto::r#type::v1::ErrorReason;

/// Our crates that each crate may use outside tests. What is not listed is refused.
const MAY_USE: &[(&str, &[&str])] = &[
    ("batch", &[]),
    ("buckets", &["clock", "seal"]),
    ("clock", &[]),
    ("domain", &["clock"]),
    ("egress", &["clock", "seal"]),
    ("events", &["domain", "proto"]),
    ("graph", &["clock", "domain", "egress", "seal"]),
    ("postgres", &["clock", "seal"]),
    ("proto", &[]),
    ("rpc", &["clock", "domain", "proto", "seal"]),
    ("runtime", &["clock", "domain", "postgres", "proto", "rpc", "seal"]),
    ("seal", &["clock"]),
    ("testkit", &["clock", "domain", "postgres", "seal"]),
    ("connection", LIBS),
    ("messaging", LIBS),
    ("webhook", LIBS),
    ("tracking", LIBS),
    ("arch", &[]),
    ("dev", &[]),
    ("model", &[]),
    ("simulator", &[]),
];

/// What a service may use: every library, never another service, never a test crate.
const LIBS: &[&str] = &[
    "batch", "buckets", "clock", "domain", "egress", "events", "graph", "postgres", "proto", "rpc", "runtime", "seal",
];

/// External crates that only some of ours may use: the rooms where I/O enters.
const DOORS: &[(&str, &[&str])] = &[
    ("reqwest", &["egress", "graph"]),
    ("redis", &["buckets"]),
    ("hmac", &["graph", "rpc", "seal"]),
    ("chacha20poly1305", &["seal"]),
];

fn root() -> PathBuf {
    Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("../..")
        .canonicalize()
        .expect("the tree is there")
}

fn short(name: &str) -> Option<&str> {
    name.strip_prefix("outeract-")
}

/// Crate → its dependencies outside tests and build scripts.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo metadata runs");
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| {
            let normal = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal);
            let name = short(&package.name)
                .expect("every crate is named outeract-…")
                .to_owned();
            (name, normal.map(|dependency| dependency.name.clone()).collect())
        })
        .collect()
}

#[test]
fn crates_use_only_what_they_may() {
    let may_use: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, used) in dependencies() {
        // The end-to-end tests and the benchmark may use everything: they stand outside.
        let Some(allowed) = may_use.get(name.as_str()) else {
            if !matches!(name.as_str(), "e2e" | "bench") {
                faults.push(format!("{name} is not listed in tests/arch"));
            }
            continue;
        };
        for ours in used.iter().filter_map(|used| short(used)) {
            if !allowed.contains(&ours) {
                faults.push(format!("{name} must not use {ours}"));
            }
        }
        for (door, rooms) in DOORS {
            let fake_meta = name == "simulator";
            if used.contains(*door) && !rooms.contains(&name.as_str()) && !fake_meta {
                faults.push(format!("{name} must not use {door}: it enters through {rooms:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_developer_command_uses_only_std() {
    let used = dependencies();
    assert!(
        used["dev"].is_empty(),
        "`cargo dev` must build in seconds: {:?}",
        used["dev"]
    );
}

#[test]
fn services_do_not_touch_each_others_schemas() {
    let services = ["connection", "messaging", "webhook", "tracking"];
    let mut faults = Vec::new();
    for service in services {
        for file in files(&root().join("services").join(service), &["rs", "sql"]) {
            let text = fs::read_to_string(&file).expect("readable");
            for other in services.iter().filter(|other| **other != service) {
                for verb in ["FROM ", "JOIN ", "INTO ", "UPDATE ", "TABLE "] {
                    if text.contains(&format!("{verb}{other}.")) {
                        faults.push(format!("{}: {verb}{other}.…", file.display()));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_error_reason_is_explained() {
    let page = fs::read_to_string(root().join("proto/README.md")).expect("proto/README.md is there");
    let mut missing = Vec::new();
    for value in 1.. {
        let Ok(reason) = ErrorReason::try_from(value) else {
            break;
        };
        let name = outeract_proto::reason_str(reason);
        if !page.contains(&format!("`{name}`")) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "proto/README.md does not explain {missing:?}");
}

#[test]
fn every_event_type_and_every_kind_of_message_is_described() {
    let folder = root().join("proto/outeract/tracking/v1");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a file");
    let (page, events, received) = (read("EVENTS.md"), read("event.proto"), read("received.proto"));
    let between = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).expect("its beginning");
        rest.split_once(to).expect("its end").0.to_owned()
    };
    let quoted = |text: &str| -> BTreeSet<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };

    // The comment names types only, but for `EVENTS.md` itself.
    let mut promised = quoted(&between(&events, "// What happened:", "string event_type"));
    promised.remove("EVENTS.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let types = rows.filter_map(|row| row.split_once("` | `").map(|(name, _)| name.to_owned()));
    let described: BTreeSet<_> = types.filter(|name| name.contains('.')).collect();
    assert_eq!(described, promised);

    let named = quoted(&page);
    let kinds = between(&received, "oneof kind {", "}");
    for kind in kinds.lines().filter_map(|line| line.trim().split_once(" = ")) {
        let name = kind.0.rsplit(' ').next().expect("a name");
        assert!(named.contains(&format!("received.{name}")), "{name}");
    }
    // What the code writes is promised.
    for file in files(&root().join("libs/events/src"), &["rs"]) {
        let code = fs::read_to_string(file).expect("a file");
        for word in code
            .split('"')
            .filter(|word| word.starts_with("message.") || word.starts_with("user."))
        {
            assert!(word.contains('{') || promised.contains(word), "{word}");
        }
    }
}

#[test]
fn documents_name_files_that_exist() {
    let root = root();
    let mut faults = Vec::new();
    for page in files(&root, &["md"]) {
        let text = fs::read_to_string(&page).expect("readable");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let local = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            if local && !page.parent().expect("a file has a folder").join(target).exists() {
                faults.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_top_level_holds_what_was_agreed() {
    let agreed = [
        "Cargo.toml",
        "Cargo.lock",
        "proto",
        "services",
        "libs",
        "k8s",
        "tests",
        "buf.yaml",
        "README.md",
    ];
    let tools = [
        "buf.gen.yaml",
        "clippy.toml",
        "rustfmt.toml",
        "deny.toml",
        "Dockerfile",
        "LICENSE",
        "target",
    ];
    for entry in fs::read_dir(root()).expect("readable") {
        let name = entry.expect("readable").file_name().into_string().expect("UTF-8");
        assert!(
            name.starts_with('.') || agreed.contains(&&*name) || tools.contains(&&*name),
            "{name} does not belong at the top"
        );
    }
}

/// Files below `dir` with one of these extensions, without what builds and tools leave behind.
fn files(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') && name != "node_modules" {
            found.extend(files(&path, extensions));
        } else if path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|own| extensions.contains(&own))
        {
            found.push(path);
        }
    }
    found
}
