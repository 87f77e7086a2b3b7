//! Help texts and completions.

use super::{Shop, finish};
use std::{
    fs,
    process::{Command, Stdio},
};

/// Every command, subcommands spelled out.
const COMMANDS: [&[&str]; 46] = [
    &["init"],
    &["put"],
    &["get"],
    &["ls"],
    &["show"],
    &["query"],
    &["parents"],
    &["children"],
    &["ancestors"],
    &["descendants"],
    &["common"],
    &["frontier"],
    &["head"],
    &["log"],
    &["prove"],
    &["verify"],
    &["dag"],
    &["dag", "create"],
    &["dag", "show"],
    &["dag", "succeed"],
    &["anchor"],
    &["record"],
    &["status"],
    &["stats"],
    &["serve"],
    &["check"],
    &["repair"],
    &["backup"],
    &["backup", "list"],
    &["backup", "verify"],
    &["backup", "prune"],
    &["restore"],
    &["forget"],
    &["gc"],
    &["compact"],
    &["pin"],
    &["unpin"],
    &["pins"],
    &["retention"],
    &["audit"],
    &["completions"],
    // The same page by another way.
    &["help", "put"],
    &["help", "dag", "create"],
    &["help", "verify"],
    &["help", "backup", "list"],
    &["help", "help"],
];

fn help(shop: &Shop, command: &[&str]) -> String {
    let done = shop.run(&[command, &["--help"][..]].concat()).with_code(0);
    assert_eq!(done.stderr, "");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn the_program_explains_itself() {
    let shop = Shop::empty();
    insta::assert_snapshot!("help", help(&shop, &[]));
    let done = shop.run(&["-h"]).with_code(0);
    insta::assert_snapshot!("short_help", String::from_utf8(done.stdout).unwrap());
}

#[test]
fn every_command_explains_itself() {
    let shop = Shop::empty();
    for command in COMMANDS.iter().filter(|command| command[0] != "help") {
        let text = help(&shop, command);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "wider than a terminal:\n{text}");
        insta::assert_snapshot!(format!("help_{}", command.join("_")), text);
    }
}

#[test]
fn no_command_is_missing_from_the_snapshots() {
    let shop = Shop::empty();
    for (group, text) in [
        (&[][..], help(&shop, &[])),
        (&["dag"][..], help(&shop, &["dag"])),
        (&["backup"][..], help(&shop, &["backup"])),
    ] {
        let commands = text.split_once("Commands:\n").unwrap().1;
        let commands = commands.lines().take_while(|line| !line.is_empty());
        // A name stands two columns in, what it says further in.
        let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
        for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
            assert!(COMMANDS.contains(&&*[group, &[name]].concat()), "{name}");
        }
    }
    for command in COMMANDS.iter().filter(|command| command[0] == "help") {
        shop.ok(command);
    }
}

#[test]
fn help_says_the_same_without_a_repository_and_whatever_the_terminal() {
    let plain = help(&Shop::empty(), &["put"]);
    let narrow = Shop::new().with_env("COLUMNS", "400").with_env("TERM", "dumb").with_env("NO_COLOR", "1");
    assert_eq!(help(&narrow, &["put"]), plain);
}

#[test]
fn the_version_is_the_packages() {
    let stdout = Shop::empty().ok(&["--version"]);
    assert_eq!(String::from_utf8(stdout).unwrap(), format!("pakit {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_scripts_that_their_shell_understands() {
    let shop = Shop::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(shop.ok(&["completions", shell])).unwrap();
        for word in ["descendants", "allow-unchecked-head", "succeed"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = shop.write("completions.bash", shop.ok(&["completions", "bash"]));
    let checked = Command::new("bash").arg("-n").arg(&script).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(finish(checked).with_code(0).stderr, "");
    // And it completes.
    let ask =
        "source completions.bash; COMP_WORDS=(pakit desc); COMP_CWORD=1; _pakit pakit desc pakit; echo ${COMPREPLY[@]}";
    let asked = Command::new("bash")
        .args(["--norc", "-c", ask])
        .current_dir(shop.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(String::from_utf8(finish(asked).with_code(0).stdout).unwrap(), "descendants\n");
    assert!(fs::read_dir(shop.folder.path()).unwrap().count() == 1, "no repository was needed or made");
    shop.run(&["completions", "cmd"]).with_code(2);
}
