//! Makes a machine able to build everything. With nothing to do it is done in well under a second and asks no network.
//!
//! The runtime's Wasm needs a Rust with the target `wasm32v1-none`. Rustup installs it where its server is in reach. On
//! a Debian machine that reaches Debian's packages only, a second Rust comes from those: it brings its sources, from
//! which the target's `core` and `alloc` are built once; rustup knows it as the toolchain `debian`, and
//! substrate-wasm-builder takes that for the Wasm where `WASM_BUILD_TOOLCHAIN` names it. Native code stays with the
//! toolchain that is active.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    bench::Peer,
    process::{self, Scratch, is_on_path, typed},
    tools::Tool,
};

/// What the Wasm is built for.
pub(crate) const TARGET: &str = "wasm32v1-none";
const TOOLCHAIN_ENV: &str = "WASM_BUILD_TOOLCHAIN";
/// The name under which rustup knows Debian's Rust.
const DEBIAN: &str = "debian";
const DEBIAN_SYSROOT: &str = "/usr";
const DEBIAN_RUST: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];
/// What a Wasm program links; more than `core` and `alloc` because they are built of it.
const TARGET_CRATES: [&str; 5] = ["core", "alloc", "compiler_builtins", "panic_abort", "rustc_std_workspace_core"];

/// Time for a compiler to answer or to build a program of ten lines, on a machine that is busy with other builds.
const PROBE_MAX: Duration = Duration::from_secs(120);
/// Time to download the target, 15 MB. Past it the server counts as out of reach.
const DOWNLOAD_MAX: Duration = Duration::from_secs(180);

/// What the recipes build with.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The toolchain for the Wasm, where it is not the active one.
    wasm_toolchain: Option<String>,
}

impl Environment {
    /// A command with the toolchain for the Wasm named to whatever builds a runtime.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = process::command(program);
        if let Some(toolchain) = &self.wasm_toolchain {
            command.env(TOOLCHAIN_ENV, toolchain);
        }
        command
    }

    /// Cargo for native code, and by way of build scripts for the runtime's Wasm.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("cargo");
        command.args(arguments);
        command
    }

    /// Cargo for `--target wasm32v1-none`.
    pub(crate) fn wasm_cargo(&self, arguments: &[&str]) -> Command {
        let mut command = of_toolchain(self.wasm_toolchain.as_deref(), "cargo");
        command.args(arguments).args(["--target", TARGET]);
        command
    }
}

/// The recipe `setup`.
pub(crate) fn run() -> Result<()> {
    let environment = ensure()?;
    match environment.wasm_toolchain {
        None => println!("ready: the active toolchain builds the Wasm"),
        Some(toolchain) => println!("ready: the toolchain `{toolchain}` builds the Wasm ({TOOLCHAIN_ENV}={toolchain})"),
    }
    Ok(())
}

/// Installs what is missing; returns what to build with.
pub(crate) fn ensure() -> Result<Environment> {
    ensure_packages()?;
    Ok(Environment { wasm_toolchain: ensure_wasm()? })
}

/// The program of the named toolchain, or of the active one.
fn of_toolchain(toolchain: Option<&str>, program: &str) -> Command {
    match toolchain {
        None => process::command(program),
        Some(toolchain) => {
            let mut command = process::command("rustup");
            command.args(["run", toolchain, program]);
            command
        }
    }
}

/// The toolchain for the Wasm: `None` is the active one.
fn ensure_wasm() -> Result<Option<String>> {
    if let Some(chosen) = env::var_os(TOOLCHAIN_ENV).filter(|chosen| !chosen.is_empty()) {
        let chosen = chosen.into_string().ok().with_context(|| format!("{TOOLCHAIN_ENV} is not UTF-8"))?;
        probe(Some(&chosen), None).with_context(|| format!("{TOOLCHAIN_ENV}={chosen} cannot build for {TARGET}"))?;
        return Ok(Some(chosen));
    }
    if probe(None, None).is_ok() {
        return Ok(None);
    }
    if !is_on_path("rustup") {
        bail!("{}", how_to_get_the_target("there is no rustup"));
    }
    if is_linked(DEBIAN) && probe(Some(DEBIAN), None).is_ok() {
        return Ok(Some(DEBIAN.to_owned()));
    }
    if add_target_with_rustup()? {
        return Ok(None);
    }
    if !can_install_packages() {
        bail!("{}", how_to_get_the_target("rustup cannot download it, and this is not root on Debian"));
    }
    install_debian_rust()?;
    Ok(Some(DEBIAN.to_owned()))
}

fn how_to_get_the_target(why: &str) -> String {
    format!(
        "the Rust target {TARGET} is missing: {why}.\nWith rustup (https://rustup.rs) and its server in reach:\n    \
         rustup target add {TARGET}\nOn Debian without it, this as root installs a second Rust that has the target:\n    \
         cargo xtask setup"
    )
}

/// Builds a program for the target as a runtime is built: with `alloc`, link-time optimization and the Wasm linker. So
/// it fails where the target, its bitcode or the linker is missing, and where another compiler built the libraries.
fn probe(toolchain: Option<&str>, target_sysroot: Option<&Path>) -> Result<()> {
    let scratch = Scratch::new()?;
    let source = scratch.path().join("probe.rs");
    fs::write(&source, include_str!("../templates/probe.rs.txt"))?;
    let mut rustc = of_toolchain(toolchain, "rustc");
    rustc.args(["--edition", "2024", "--crate-type", "cdylib", "--target", TARGET, "-Cpanic=abort", "-Clto=fat"]);
    if let Some(sysroot) = target_sysroot {
        rustc.arg("--sysroot").arg(sysroot);
    }
    rustc.arg("-o").arg(scratch.path().join("probe.wasm")).arg(&source);
    let said = process::said(&mut rustc, PROBE_MAX)?;
    ensure!(said.status.success(), "`{}` failed:\n{}", typed(&rustc), said.stderr.trim());
    Ok(())
}

fn is_linked(toolchain: &str) -> bool {
    // `rustup run` would try to download one it does not know.
    let said = process::said(process::command("rustup").args(["toolchain", "list"]), PROBE_MAX);
    said.is_ok_and(|said| said.stdout.lines().any(|line| line.split_whitespace().next() == Some(toolchain)))
}

/// Whether rustup could install the target. No, at once or at the limit, where its server is out of reach.
fn add_target_with_rustup() -> Result<bool> {
    println!("setup: rustup target add {TARGET}");
    let mut rustup = process::command("rustup");
    rustup.args(["target", "add", TARGET]);
    match process::said(&mut rustup, DOWNLOAD_MAX) {
        Ok(said) if said.status.success() => {
            probe(None, None).context("the target was installed but does not work")?;
            Ok(true)
        }
        Ok(said) => {
            // Not the last line, which may be a backtrace's.
            let reason = said.stderr.lines().find(|line| line.starts_with("error"));
            println!("setup: rustup cannot: {}", reason.unwrap_or("it gave no reason"));
            Ok(false)
        }
        Err(error) => {
            println!("setup: rustup cannot: {error:#}");
            Ok(false)
        }
    }
}

/// The second Rust, from Debian's packages.
fn install_debian_rust() -> Result<()> {
    apt_install(&DEBIAN_RUST)?;
    process::run(process::command("rustup").args(["toolchain", "link", DEBIAN, DEBIAN_SYSROOT]))?;
    if probe(Some(DEBIAN), None).is_err() {
        let libraries = Path::new(DEBIAN_SYSROOT).join("lib/rustlib").join(TARGET).join("lib");
        build_target_crates(DEBIAN, &libraries)?;
        probe(Some(DEBIAN), None).context("the target's libraries were built but do not work")?;
    }
    Ok(())
}

/// Builds the target's `core` and `alloc` from the toolchain's sources, into the folder where rustc looks for them.
fn build_target_crates(toolchain: &str, libraries: &Path) -> Result<()> {
    println!("setup: building core and alloc for {TARGET} (about 20 s)");
    let scratch = Scratch::new()?;
    let manifest = scratch.path().join("Cargo.toml");
    fs::create_dir(scratch.path().join("src"))?;
    fs::write(scratch.path().join("src/lib.rs"), "#![no_std]\n")?;
    fs::write(&manifest, "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n")?;
    let mut cargo = of_toolchain(Some(toolchain), "cargo");
    cargo
        // Not the checkout: its cargo configuration and its target folder are for other builds.
        .current_dir(scratch.path())
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env("CARGO_TARGET_DIR", scratch.path().join("target"))
        // A stable compiler builds its own standard library only when told that this is a bootstrap.
        .env("RUSTC_BOOTSTRAP", "1")
        // The runtime is optimized at link time, which needs the bitcode of everything it links.
        .env("RUSTFLAGS", "-Cembed-bitcode=yes -Cpanic=abort")
        .args(["build", "--release", "-Zbuild-std=core,alloc,panic_abort", "--target", TARGET]);
    process::run(&mut cargo)?;
    install_target_crates(&scratch.path().join("target").join(TARGET).join("release/deps"), libraries)
}

/// Copies the libraries, and removes those of an earlier compiler: two of a crate are one too many for rustc.
fn install_target_crates(built: &Path, libraries: &Path) -> Result<()> {
    fs::create_dir_all(libraries)?;
    for old in target_crate_files(libraries)? {
        fs::remove_file(old)?;
    }
    let files = target_crate_files(built)?;
    ensure!(files.len() == TARGET_CRATES.len(), "expected {} libraries, built {files:?}", TARGET_CRATES.len());
    for file in files {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(&file, libraries.join(name)).with_context(|| format!("cannot write to {}", libraries.display()))?;
    }
    Ok(())
}

fn target_crate_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let crate_name = name.strip_prefix("lib").and_then(|name| name.strip_suffix(".rlib"));
        let crate_name = crate_name.and_then(|name| name.rsplit_once('-')).map(|(name, _)| name);
        if crate_name.is_some_and(|name| TARGET_CRATES.contains(&name)) {
            files.push(path);
        }
    }
    Ok(files)
}

/// A Debian package and how to see whether what it brings is there, however it came.
struct Package {
    name: &'static str,
    is_there: fn() -> bool,
}

const PACKAGES: [Package; 3] = [
    Package { name: "protobuf-compiler", is_there: || env::var_os("PROTOC").is_some() || is_on_path("protoc") },
    Package { name: "clang", is_there: || is_on_path("clang") },
    Package { name: "libclang-dev", is_there: libclang_is_there },
];

fn ensure_packages() -> Result<()> {
    let missing: Vec<_> = PACKAGES.iter().filter(|package| !(package.is_there)()).map(|package| package.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    ensure!(
        can_install_packages(),
        "missing: {names} (Debian's names). On Debian or Ubuntu:\n    sudo apt-get update && sudo apt-get install -y \
         {names}\nElsewhere install protoc, clang and libclang with the system's package manager."
    );
    apt_install(&missing)?;
    let still = PACKAGES.iter().find(|package| !(package.is_there)());
    ensure!(still.is_none(), "installed {names}, and yet not found: {}", still.map_or("", |package| package.name));
    Ok(())
}

/// Installs the stores that Pakit is measured beside, all where none is named; says where rustic is, or would be.
pub(crate) fn ensure_peers(environment: &Environment, only: &[Peer]) -> Result<PathBuf> {
    let is_wanted = |peer| only.is_empty() || only.contains(&peer);
    for (peer, program, package) in [(Peer::Restic, "restic", "restic"), (Peer::Borg, "borg", "borgbackup")] {
        ensure_installed(!is_wanted(peer) || is_on_path(program), package)?;
    }
    if is_wanted(Peer::Rustic) { RUSTIC.ensure(environment) } else { Ok(RUSTIC.program.into()) }
}

/// A store in Rust for restic's repositories.
const RUSTIC: Tool = Tool {
    program: "rustic",
    package: "rustic-rs",
    version: "0.11.4",
    arguments: &["--no-default-features"],
    minutes: 10,
};

/// Where the browser is that tests drive, after installing it if need be: `PAKIT_CHROMIUM`, or Debian's.
pub(crate) fn ensure_browser() -> Result<PathBuf> {
    if let Some(chosen) = env::var_os("PAKIT_CHROMIUM").filter(|chosen| !chosen.is_empty()) {
        return Ok(chosen.into());
    }
    const BROWSER: &str = "chromium";
    ensure_installed(is_on_path(BROWSER), BROWSER)
        .context("to use another browser of that family, name its program in PAKIT_CHROMIUM")?;
    process::path_of(BROWSER).context("chromium was installed and is not on PATH")
}

/// Node.js and npm, of whatever version there is.
pub(crate) fn ensure_node_installed() -> Result<()> {
    for (program, package) in [("node", "nodejs"), ("npm", "npm")] {
        ensure_installed(is_on_path(program), package)?;
    }
    Ok(())
}

/// The archive of the kernel's sources that Debian's package brings.
pub(crate) fn ensure_linux_source() -> Result<PathBuf> {
    const PACKAGE: &str = "linux-source-6.1";
    let archive = PathBuf::from(format!("/usr/src/{PACKAGE}.tar.xz"));
    ensure_installed(archive.is_file(), PACKAGE)?;
    Ok(archive)
}

/// The first Node.js that the clients of other people run on.
const NODE_MAJOR_MIN: u32 = 18;

/// What scripts of other people's clients run on: Node.js with npm, and a Python that makes environments.
pub(crate) fn ensure_scripting() -> Result<()> {
    ensure_node_installed()?;
    // Debian's Python has `venv` and yet makes no environment until another package is there.
    let said = process::said(process::command("python3").args(["-c", "import ensurepip, venv"]), PROBE_MAX);
    ensure_installed(said.is_ok_and(|said| said.status.success()), "python3-venv")?;
    let said = process::said(process::command("node").arg("--version"), PROBE_MAX)?;
    let major = node_major(&said.stdout).with_context(|| format!("`node --version` says {:?}", said.stdout))?;
    ensure!(major >= NODE_MAJOR_MIN, "Node.js {major} is too old: {NODE_MAJOR_MIN} or newer is wanted");
    Ok(())
}

/// `v20.20.2`
fn node_major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn ensure_installed(is_there: bool, package: &str) -> Result<()> {
    if is_there {
        return Ok(());
    }
    ensure!(
        can_install_packages(),
        "{package} is not installed. On Debian or Ubuntu:\n    sudo apt-get install -y {package}"
    );
    apt_install(&[package])
}

/// The places where clang-sys, by which crates load it, looks first.
fn libclang_is_there() -> bool {
    if env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let mut folders: Vec<PathBuf> = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/opt/homebrew/opt/llvm/lib",
        "/Library/Developer/CommandLineTools/usr/lib",
    ]
    .map(PathBuf::from)
    .into();
    for entry in fs::read_dir("/usr/lib").into_iter().flatten().flatten() {
        // Debian: /usr/lib/llvm-14/lib and /usr/lib/x86_64-linux-gnu.
        folders.extend([entry.path(), entry.path().join("lib")]);
    }
    folders.iter().any(|folder| has_libclang(folder))
}

fn has_libclang(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| {
        let name = name.to_string_lossy();
        // `libclang-cpp.so` is another library.
        let rest = name.strip_prefix("libclang").filter(|rest| !rest.starts_with("-cpp"));
        rest.is_some_and(|rest| rest.contains(".so") || rest == ".dylib")
    })
}

/// Whether packages can be installed here: as root, on Debian or its kin.
fn can_install_packages() -> bool {
    let user = process::said(Command::new("id").arg("-u"), PROBE_MAX);
    is_on_path("apt-get") && user.is_ok_and(|said| said.stdout.trim() == "0")
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut apt = process::command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y"]).args(arguments).stdin(Stdio::null());
        println!("setup: {}", typed(&apt));
        process::run(&mut apt)
    };
    apt(&["update"])?;
    apt(&[&["install"], packages].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_chosen_toolchain_that_is_not_there_is_refused() {
        let error = probe(Some("no-such-toolchain"), None).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-toolchain"), "{error:#}");
    }

    #[test]
    fn only_the_targets_libraries_are_copied_and_earlier_ones_go() {
        let scratch = Scratch::new().unwrap();
        let (built, libraries) = (scratch.path().join("built"), scratch.path().join("lib"));
        fs::create_dir_all(&built).unwrap();
        fs::create_dir_all(&libraries).unwrap();
        for name in TARGET_CRATES {
            fs::write(built.join(format!("lib{name}-1f.rlib")), "new").unwrap();
        }
        fs::write(built.join("libempty.rlib"), "").unwrap();
        fs::write(built.join("libcore-1f.rmeta"), "").unwrap();
        fs::write(libraries.join("libcore-0e.rlib"), "old").unwrap();
        install_target_crates(&built, &libraries).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&libraries).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let mut expected = TARGET_CRATES.map(|name| format!("lib{name}-1f.rlib"));
        expected.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn an_incomplete_build_of_the_target_is_refused() {
        let scratch = Scratch::new().unwrap();
        fs::write(scratch.path().join("libcore-1f.rlib"), "").unwrap();
        assert!(install_target_crates(scratch.path(), &scratch.path().join("lib")).is_err());
    }

    #[test]
    fn the_major_version_of_node_is_read() {
        assert_eq!(node_major("v20.20.2\n"), Some(20));
        assert_eq!(node_major("v18.0.0"), Some(18));
        assert_eq!(node_major("20"), None);
    }

    #[test]
    fn libclang_is_told_from_its_neighbours() {
        let scratch = Scratch::new().unwrap();
        fs::write(scratch.path().join("libclang-cpp.so.14"), "").unwrap();
        assert!(!has_libclang(scratch.path()));
        fs::write(scratch.path().join("libclang-14.so.13"), "").unwrap();
        assert!(has_libclang(scratch.path()));
    }
}
