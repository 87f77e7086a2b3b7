//! Programs that the project builds for itself, the first time they are wanted: no check needs them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{process, setup::Environment};

/// A program out of a crate, and how it is built.
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    pub(crate) arguments: &'static [&'static str],
    /// How long building it takes on two cores.
    pub(crate) minutes: u32,
}

impl Tool {
    /// Where it is, after installing it if need be.
    pub(crate) fn ensure(&self, environment: &Environment) -> Result<PathBuf> {
        let tools = folder()?;
        let program = tools.join("bin").join(self.program);
        if version_of(&program).is_some_and(|version| version == self.version) {
            return Ok(program);
        }
        let Self { program: name, package, version, minutes, .. } = self;
        println!("installing {name} {version} into {} (once, some {minutes} minutes)", tools.display());
        let mut cargo = environment.cargo(&["install", "--locked", "--force", "--root"]);
        cargo.arg(&tools).args(self.arguments).arg(format!("{package}@{version}"));
        // Beside the tool, so that a build that was cut short goes on where it was, and the checkout's target stays its own.
        cargo.env("CARGO_TARGET_DIR", tools.join("target"));
        process::run(&mut cargo)?;
        Ok(program)
    }
}

/// A program out of a Python package, in an environment of its own.
pub(crate) struct PythonTool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
}

impl PythonTool {
    /// Where it is, after installing it if need be.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        let Self { program, package, version } = self;
        let folder = folder()?.join(format!("{package}-{version}"));
        let (program, done) = (folder.join("bin").join(program), folder.join("installed"));
        // One that was cut short has no such file.
        if done.is_file() {
            return Ok(program);
        }
        println!("installing {package} {version} into {} (once)", folder.display());
        let folder_text = folder.to_string_lossy();
        process::run(process::command("python3").args(["-m", "venv", "--clear", &folder_text]))?;
        let mut pip = process::command(&folder.join("bin/pip").to_string_lossy());
        process::run(pip.args(["install", "--quiet", &format!("{package}=={version}")]))?;
        fs::write(&done, version).with_context(|| format!("cannot write {}", done.display()))?;
        Ok(program)
    }
}

/// Packages of npm that a lock file names, in a folder of their own.
pub(crate) struct NodeModules<'a> {
    pub(crate) name: &'static str,
    /// The folder with `package.json` and `package-lock.json`.
    pub(crate) manifest: &'a Path,
}

impl NodeModules<'_> {
    /// Their `node_modules`, after installing them if need be. No script of theirs is run.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        let folder = folder()?.join(format!("node-{}", self.name));
        let (modules, done) = (folder.join("node_modules"), folder.join("installed"));
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let lock = read(&self.manifest.join("package-lock.json"))?;
        // One that was cut short has no such file, and one of another lock file another one.
        if fs::read(&done).is_ok_and(|installed| installed == lock) {
            return Ok(modules);
        }
        println!("installing what {} names into {} (once)", self.manifest.display(), folder.display());
        let write = |path: &Path, bytes: &[u8]| {
            fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
        };
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        write(&folder.join("package.json"), &read(&self.manifest.join("package.json"))?)?;
        write(&folder.join("package-lock.json"), &lock)?;
        let mut npm = process::command("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        process::run(&mut npm)?;
        write(&done, &lock)?;
        Ok(modules)
    }
}

/// The version the program says it is, if it is there and runs.
fn version_of(program: &Path) -> Option<String> {
    let mut command = process::command(program.to_str()?);
    let said = process::said(command.arg("--version"), std::time::Duration::from_secs(60)).ok()?;
    let version = said.stdout.split_whitespace().nth(1)?;
    // Some print the commit after the version: `0.28.0-unknown`.
    Some(version.split('-').next()?.to_owned())
}

/// Where tools are kept: `PAKIT_TOOLS`, or a folder in the user's cache.
fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("PAKIT_TOOLS") {
        return Ok(folder.into());
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    Ok(cache.context("neither PAKIT_TOOLS, XDG_CACHE_HOME nor HOME is set")?.join("pakit/tools"))
}
