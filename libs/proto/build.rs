//! Turns `proto/` into Rust without protoc: protox compiles, tonic generates, and the methods' access options become one lookup function.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::{DescriptorPool, MethodDescriptor, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.display());

    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(&files)?;
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    fs::write(out.join("access.rs"), access(&compiler.descriptor_pool())?)?;

    // The modules are assembled by tonic into one include file that mirrors the packages.
    tonic_prost_build::configure()
        .include_file("packages.rs")
        .compile_well_known_types(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// `fn access(path) -> Option<Access>` from the options that stand beside each method.
fn access(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut arms = String::new();
    for service in pool
        .services()
        .filter(|service| service.full_name().starts_with("outeract."))
    {
        for method in service.methods() {
            let rule = rule(pool, &method)?;
            writeln!(
                arms,
                "        \"/{}/{}\" => Some({rule}),",
                service.full_name(),
                method.name()
            )?;
        }
    }
    Ok(format!(
        "/// Who may call the method at `path` (`/package.Service/Method`); `None` for a method that is not ours.\n\
         pub fn access(path: &str) -> Option<Access> {{\n    match path {{\n{arms}        _ => None,\n    }}\n}}\n"
    ))
}

fn rule(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<String, Box<dyn Error>> {
    let options = method.options();
    let option = |name: &str| {
        let extension = pool.get_extension_by_name(&format!("outeract.type.v1.{name}"))?;
        options
            .has_extension(&extension)
            .then(|| options.get_extension(&extension).into_owned())
    };
    let rules = [
        option("scope").and_then(|value| match value {
            Value::String(scope) if scope == "any" => Some("Access::Any".to_owned()),
            Value::String(scope) => Some(format!("Access::Scope({scope:?})")),
            _ => None,
        }),
        option("callers").and_then(|value| match value {
            Value::String(callers) => {
                let names: Vec<_> = callers.split(',').map(|name| format!("{name:?}")).collect();
                Some(format!("Access::Callers(&[{}])", names.join(", ")))
            }
            _ => None,
        }),
        option("operator")
            .filter(|value| *value == Value::Bool(true))
            .map(|_| "Access::Operator".to_owned()),
    ];
    let mut given = rules.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(rule), None) => Ok(rule),
        _ => Err(format!(
            "{}: exactly one of scope, callers, operator must be set",
            method.full_name()
        )
        .into()),
    }
}
