//! The Kubernetes manifests: rendered, held against the API's schemas, our policy, and the programs' own configuration check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outeract_dev::{Context as _, Result, binaries, root};

use super::run;

/// The oldest supported, the middle and the newest Kubernetes.
const VERSIONS: [&str; 3] = ["1.30", "1.34", "1.37"];

/// Renders every kustomization under `k8s` and returns the files, under `target/dev/k8s`.
pub(super) fn render(kustomize: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let [program, arguments @ ..] = kustomize else {
        return Err("no kustomize".into());
    };
    let binaries = binaries()?;
    let output = binaries.parent().unwrap_or(&binaries).join("dev/k8s");
    fs::create_dir_all(&output).context("making target/dev/k8s")?;
    let mut sources = vec![root().join("k8s/base")];
    let overlays = fs::read_dir(root().join("k8s/overlays"))
        .into_iter()
        .flatten()
        .flatten();
    sources.extend(overlays.map(|entry| entry.path()));
    let mut rendered = Vec::new();
    for source in sources {
        let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let made = Command::new(program)
            .args(arguments)
            .arg(&source)
            .stdin(Stdio::null())
            .output()
            .context("running kustomize")?;
        if !made.status.success() {
            return Err(format!(
                "{} does not render:\n{}",
                source.display(),
                String::from_utf8_lossy(&made.stderr)
            )
            .into());
        }
        let file = output.join(format!("{name}.yaml"));
        fs::write(&file, made.stdout).context("writing rendered manifests")?;
        println!(
            "rendered k8s/{}",
            source.strip_prefix(root().join("k8s")).unwrap_or(&source).display()
        );
        rendered.push(file);
    }
    Ok(rendered)
}

/// All checks of the rendered files.
pub(super) fn check(python: &Path, rendered: &[PathBuf]) -> Result<()> {
    for version in VERSIONS {
        schema(python, version, rendered)?;
    }
    let policy = root().join("tests/dev/kubernetes");
    run(Command::new(python)
        .args(["-m", "unittest", "--quiet", "test_policy"])
        .env("RENDERED", &rendered[0])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&policy))?;
    run(Command::new(python)
        .arg(policy.join("policy.py"))
        .arg("--binaries")
        .arg(binaries()?)
        .args(rendered))
}

/// `kubernetes-validate` only warns about kinds that it does not know: for us that is a failure too.
fn schema(python: &Path, version: &str, rendered: &[PathBuf]) -> Result<()> {
    let validate = python.with_file_name("kubernetes-validate");
    let mut command = Command::new(&validate);
    let output = command
        .args(["--strict", "-k", version])
        .args(rendered)
        .output()
        .context("running kubernetes-validate")?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let bad: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("ERROR") || line.starts_with("WARN"))
        .collect();
    if output.status.success() && bad.is_empty() {
        println!("valid for Kubernetes {version}");
        return Ok(());
    }
    let bad = if bad.is_empty() { said } else { bad.join("\n") };
    Err(format!("not valid for Kubernetes {version}:\n{bad}").into())
}
