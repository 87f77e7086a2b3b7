//! Builds the verifier for browsers and Node.js, looks at what would be published of it, and runs its tests in both.
//!
//! The package is put together in `target/verifier/package`, packed, and unpacked again for the tests: they use what a
//! program that installs it gets, and no file of the checkout.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    process::{self, Scratch, checkout, typed},
    setup::{self, Environment},
    test::{BIN_DIR_ENV, target_folder},
    tools::NodeModules,
};

/// The sources of the package: its crate, its modules below `npm`, its tests.
const SOURCES: &str = "verifier/js";
const PACKAGE: &str = "pakit-verifier";
/// The manifest of the program that runs wasm-bindgen.
pub(crate) const GLUE: &str = "verifier/glue/Cargo.toml";
/// The cargo profile, which is also the folder that cargo builds into.
const PROFILE: &str = "browser";
/// Everything that is published.
const FILES: [&str; 10] = [
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "api.js",
    "index.d.ts",
    "node.js",
    "package.json",
    "wasm/core.js",
    "wasm/core_bg.wasm",
    "web.js",
];
/// What the Wasm may have. docs/verifier.md tells how much it has.
const WASM_BYTES_MAX: u64 = 128 * 1024;
/// The oldest Node.js: the first whose `require` takes modules.
const NODE_MIN: (u32, u32) = (20, 19);
/// Time for one test, of which the longest take seconds.
const TEST_MAX: &str = "--test-timeout=300000";
/// Time for npm to pack files that are there.
const PACK_MAX: Duration = Duration::from_secs(120);

/// The recipe `verifier`.
pub(crate) fn run() -> Result<()> {
    let environment = setup::ensure()?;
    let note = check(&environment, env::var_os(BIN_DIR_ENV).map(PathBuf::from))?;
    println!("the package is in {}: {note}", folder()?.join("package").display());
    Ok(())
}

/// Builds and tests it, and says how large it is. `pakit` comes from the folder, if one is given.
pub(crate) fn check(environment: &Environment, programs: Option<PathBuf>) -> Result<String> {
    let chromium = setup::ensure_browser()?;
    ensure_node()?;
    let programs = match programs {
        Some(folder) => folder,
        None => build_programs(environment)?,
    };
    // The tests run in a folder of their own.
    let programs = checkout().join(programs);
    let folder = folder()?;
    let package = folder.join("package");
    assemble(&package)?;
    let wasm = build_wasm(environment)?;
    let mut glue = glue(environment, "run")?;
    process::run(glue.args(["--quiet", "--"]).arg(&wasm).arg(package.join("wasm")))?;
    let bytes = look_at_wasm(&package.join("wasm/core_bg.wasm"))?;
    let packed = pack(&package, &folder)?;
    let tests = prepare_tests(&folder, &packed.path)?;
    for file in ["node.test.js", "browser.test.js"] {
        let mut node = process::command("node");
        node.args(["--test", "--test-reporter=spec", TEST_MAX, file]).current_dir(&tests);
        node.env("PAKIT", programs.join("pakit")).env("PAKIT_CHROMIUM", &chromium);
        node.env("PAKIT_CHECKOUT", checkout());
        println!("$ {}", typed(&node));
        process::run(&mut node)?;
    }
    Ok(format!("Wasm of {bytes} bytes, {} bytes packed", packed.bytes))
}

fn folder() -> Result<PathBuf> {
    Ok(target_folder()?.join("verifier"))
}

/// Fails with what to do where Node.js is missing, or older than the package says.
fn ensure_node() -> Result<()> {
    setup::ensure_node_installed()?;
    let said = process::said(process::command("node").arg("--version"), PACK_MAX)?;
    let version =
        version_of(&said.stdout).with_context(|| format!("`node --version` said {:?}", said.stdout.trim()))?;
    let (major, minor) = NODE_MIN;
    ensure!(
        version >= NODE_MIN,
        "the Node.js on PATH is {}, and {major}.{minor} is the oldest that will do: https://nodejs.org/en/download",
        said.stdout.trim()
    );
    Ok(())
}

/// `v20.19.1`
fn version_of(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix('v')?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Cargo for the program that runs wasm-bindgen: it is no member of the workspace, and what is built of it is kept apart.
pub(crate) fn glue(environment: &Environment, command: &str) -> Result<Command> {
    let mut cargo = environment.cargo(&[command, "--locked", "--manifest-path", GLUE, "--target-dir"]);
    cargo.arg(folder()?.join("glue"));
    Ok(cargo)
}

fn build_programs(environment: &Environment) -> Result<PathBuf> {
    process::run(&mut environment.cargo(&["build", "--locked", "--package", "offchain-store", "--bin", "pakit"]))?;
    Ok(target_folder()?.join("debug"))
}

/// The package's folder anew, with all but what is built.
fn assemble(package: &Path) -> Result<()> {
    if package.exists() {
        fs::remove_dir_all(package).with_context(|| format!("cannot remove {}", package.display()))?;
    }
    copy(&checkout().join(SOURCES).join("npm"), package)?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(checkout().join(licence), package.join(licence)).with_context(|| format!("cannot copy {licence}"))?;
    }
    Ok(())
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&path, &copied)?;
        } else {
            fs::copy(&path, &copied).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// The crate as Wasm. Where the sources stood on this machine is nobody's business, and would make another one's build differ.
fn build_wasm(environment: &Environment) -> Result<PathBuf> {
    let mut cargo =
        environment.wasm_cargo(&["build", "--locked", "--package", "pakit-verifier-js", "--profile", PROFILE]);
    let mut flags = OsString::new();
    for (from, to) in [(cargo_home()?, "/cargo"), (checkout(), "/pakit")] {
        // Between flags stands a byte that no path has.
        flags.push(if flags.is_empty() { "" } else { "\x1f" });
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    process::run(cargo.env("CARGO_ENCODED_RUSTFLAGS", flags))?;
    Ok(target_folder()?.join(setup::TARGET).join(PROFILE).join("pakit_verifier_js.wasm"))
}

fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or(home).context("neither CARGO_HOME nor HOME is set")
}

/// How long the Wasm is. It must be short, and name no folder of this machine.
fn look_at_wasm(wasm: &Path) -> Result<u64> {
    let bytes = fs::read(wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let length = u64::try_from(bytes.len())?;
    ensure!(length <= WASM_BYTES_MAX, "the Wasm has {length} bytes, more than {WASM_BYTES_MAX}");
    for folder in [cargo_home()?, checkout()] {
        let folder = folder.as_os_str().as_encoded_bytes();
        let is_named = bytes.windows(folder.len()).any(|window| window == folder);
        ensure!(!is_named, "the Wasm names the folder {}", String::from_utf8_lossy(folder));
    }
    Ok(length)
}

/// A packed package.
struct Packed {
    path: PathBuf,
    bytes: u64,
}

/// Packs it as it would be published, and compares what is in it with what is to be.
fn pack(package: &Path, into: &Path) -> Result<Packed> {
    let mut npm = process::command("npm");
    npm.args(["pack", "--json", "--pack-destination"]).arg(into).current_dir(package);
    let said = process::said(&mut npm, PACK_MAX)?;
    ensure!(said.status.success(), "`{}` failed:\n{}", typed(&npm), said.stderr.trim());
    let said: serde_json::Value = serde_json::from_str(&said.stdout).context("npm's report is no JSON")?;
    let report = &said[0];
    let mut files: Vec<&str> = Vec::new();
    for file in report["files"].as_array().context("npm names no files")? {
        files.push(file["path"].as_str().context("npm names a file without a path")?);
    }
    files.sort_unstable();
    ensure!(files == FILES, "to be published are {FILES:?}, and npm packs {files:?}");
    let name = report["filename"].as_str().context("npm does not say what it wrote")?;
    let expected = format!("{PACKAGE}-{}.tgz", env!("CARGO_PKG_VERSION"));
    ensure!(name == expected, "npm wrote {name} instead of {expected}: the package's version must be the workspace's");
    Ok(Packed { path: into.join(name), bytes: report["size"].as_u64().context("npm does not say how much it wrote")? })
}

/// A folder with the tests, in which the packed package is installed, and which finds what else they need one folder up.
fn prepare_tests(folder: &Path, packed: &Path) -> Result<PathBuf> {
    let sources = checkout().join(SOURCES).join("test");
    let modules = NodeModules { name: "verifier-tests", manifest: &sources }.ensure()?;
    let (tests, shared) = (folder.join("test"), folder.join("node_modules"));
    if tests.exists() {
        fs::remove_dir_all(&tests).with_context(|| format!("cannot remove {}", tests.display()))?;
    }
    copy(&sources, &tests)?;
    if shared.is_symlink() {
        fs::remove_file(&shared).with_context(|| format!("cannot remove {}", shared.display()))?;
    }
    symlink(&modules, &shared).with_context(|| format!("cannot make {}", shared.display()))?;
    let installed = tests.join("node_modules").join(PACKAGE);
    fs::create_dir_all(&installed).with_context(|| format!("cannot make {}", installed.display()))?;
    let scratch = Scratch::new()?;
    process::run(process::command("tar").arg("-xzf").arg(packed).arg("-C").arg(scratch.path()))?;
    copy(&scratch.path().join("package"), &installed)?;
    Ok(tests)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_package_has_the_workspaces_version_and_lists_what_is_published() {
        let manifest = fs::read_to_string(checkout().join(SOURCES).join("npm/package.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["name"], PACKAGE);
        assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(manifest["engines"]["node"], format!(">={}.{}", NODE_MIN.0, NODE_MIN.1));
        let listed: Vec<&str> =
            manifest["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
        // npm adds the manifest by itself.
        let published: Vec<&str> = FILES.into_iter().filter(|file| *file != "package.json").collect();
        assert_eq!(listed, published);
    }

    /// The version of a crate in a lock file.
    fn locked(lock: &str, name: &str) -> String {
        let lock = fs::read_to_string(checkout().join(lock)).unwrap();
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    #[test]
    fn both_sides_of_wasm_bindgen_are_of_one_version() {
        let glue = locked("verifier/glue/Cargo.lock", "wasm-bindgen-cli-support");
        assert_eq!(glue, locked("Cargo.lock", "wasm-bindgen"));
    }

    #[test]
    fn nodes_version_is_read() {
        assert_eq!(version_of("v20.19.1\n"), Some((20, 19)));
        assert!(version_of("v18.20.4").unwrap() < NODE_MIN && version_of("v22.0.0").unwrap() > NODE_MIN);
        assert_eq!(version_of("command not found"), None);
    }

    #[test]
    fn a_wasm_that_names_a_folder_of_this_machine_or_is_long_is_refused() {
        let scratch = Scratch::new().unwrap();
        let wasm = scratch.path().join("a.wasm");
        fs::write(&wasm, b"\0asm").unwrap();
        assert_eq!(look_at_wasm(&wasm).unwrap(), 4);
        fs::write(&wasm, format!("\0asm{}/src/lib.rs", checkout().display())).unwrap();
        assert!(look_at_wasm(&wasm).unwrap_err().to_string().contains("names the folder"));
        fs::write(&wasm, vec![0; 200_000]).unwrap();
        assert!(look_at_wasm(&wasm).unwrap_err().to_string().contains("200000 bytes"));
    }
}
