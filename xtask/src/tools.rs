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

/// Packages for Python, as `requirements.txt` in a folder of the checkout names them and their files' hashes.
pub(crate) struct PythonPackages {
    /// The folder among the tools.
    pub(crate) name: &'static str,
    /// The folder in the checkout.
    pub(crate) folder: &'static str,
}

impl PythonPackages {
    /// The Python that knows them, after installing them if need be.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        let requirements = process::checkout().join(self.folder).join("requirements.txt");
        let text = read(&requirements)?;
        let installed = Installed::of(folder()?.join(self.name), &text);
        let python = installed.folder.join("bin/python");
        if !installed.is_done {
            installed.begin("packages for Python")?;
            let folder = installed.folder.to_string_lossy();
            process::run(process::command("python3").args(["-m", "venv", "--clear", &folder]))?;
            let mut pip = process::command(&python.to_string_lossy());
            pip.args(["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement"]);
            process::run(pip.arg(&requirements))?;
            installed.finish(&text)?;
        }
        Ok(python)
    }
}

/// A folder among the tools for what a list names, and the list that it was last filled from.
struct Installed {
    folder: PathBuf,
    done: PathBuf,
    is_done: bool,
}

impl Installed {
    fn of(folder: PathBuf, list: &str) -> Self {
        // One that was cut short has no such file, and one of another list has another.
        let done = folder.join("installed");
        let is_done = fs::read_to_string(&done).is_ok_and(|earlier| earlier == list);
        Self { folder, done, is_done }
    }

    fn begin(&self, what: &str) -> Result<()> {
        println!("installing {what} into {} (once)", self.folder.display());
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        match fs::remove_file(&self.done) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.done.display()))
            }
            _ => Ok(()),
        }
    }

    fn finish(&self, list: &str) -> Result<()> {
        fs::write(&self.done, list).with_context(|| format!("cannot write {}", self.done.display()))
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::process::Scratch;

    #[test]
    fn what_was_installed_from_another_list_or_was_cut_short_is_installed_again() {
        let scratch = Scratch::new().unwrap();
        let of = |list| Installed::of(scratch.path().join("packages"), list);
        assert!(!of("one").is_done);
        of("one").begin("packages").unwrap();
        assert!(!of("one").is_done);
        of("one").finish("one").unwrap();
        assert!(of("one").is_done && !of("two").is_done);
        of("two").begin("packages").unwrap();
        assert!(!of("one").is_done && !of("two").is_done);
    }
}
