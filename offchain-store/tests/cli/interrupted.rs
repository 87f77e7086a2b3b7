//! Checks that are interrupted, killed and gone on with.

use super::{Done, PATIENCE, Shop, finish, objects};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    process::Child,
    thread,
    time::{Duration, Instant},
};

/// A repository of 40 files, and one chunk damaged in one of them.
fn shop() -> Shop {
    let shop = Shop::new();
    for number in 0..40 {
        shop.write(format!("folder/{number}"), format!("content {number} ").repeat(50));
    }
    shop.ok(&["put", "folder"]);
    let database = rusqlite::Connection::open(shop.database()).unwrap();
    let sql = "UPDATE payloads SET bytes = zeroblob(length(bytes)) WHERE payload_id = 9";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
    drop(database);
    shop
}

fn state(shop: &Shop) -> PathBuf {
    shop.path(".pakit/check.json")
}

/// Starts a check that writes down where it stands after each step, and returns when it has done so again.
fn start(shop: &Shop, arguments: &[&str]) -> Child {
    let before = fs::read(state(shop)).ok();
    let mut child = shop.command(&[arguments, &["--json", "--save-every", "0"]].concat()).spawn().unwrap();
    let begun = Instant::now();
    while fs::read(state(shop)).ok() == before && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE, "nothing was written down");
        thread::sleep(Duration::from_millis(2));
    }
    child
}

/// The report, and whether it says that it was resumed.
fn report(done: &Done) -> (Value, bool) {
    let mut report = objects(&done.stdout).remove(0);
    let resumed = report.as_object_mut().unwrap().remove("resumed").unwrap();
    (report, resumed.as_bool().unwrap())
}

#[test]
fn a_check_that_is_killed_again_and_again_reports_what_one_at_a_stretch_does() {
    let shop = shop();
    let (whole, resumed) = report(&shop.run(&["--json", "check", "--full"]).with_code(1));
    assert_eq!((resumed, &whole["problem_count"], &whole["is_complete"]), (false, &json!(1), &json!(true)));
    assert!(!state(&shop).exists());
    let mut kills = 0;
    for arguments in [&["check", "--full"][..], &["check", "--resume"], &["check", "--resume"], &["check", "--resume"]]
    {
        let mut child = start(&shop, arguments);
        thread::sleep(Duration::from_millis(20));
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if !state(&shop).exists() {
            break;
        }
    }
    assert!(kills > 0, "no check was running when it should be killed");
    if state(&shop).exists() {
        let done = shop.run(&["--json", "check", "--resume"]).with_code(1);
        assert_eq!(report(&done), (whole.clone(), true));
    }
    assert!(!state(&shop).exists() && !shop.path(".pakit/check.json.new").exists());
    assert_eq!(report(&shop.run(&["--json", "check", "--full"]).with_code(1)), (whole, false));
}

#[test]
fn a_check_that_is_asked_to_stop_says_how_to_go_on() {
    let shop = shop();
    let whole = report(&shop.run(&["--json", "check", "--full"]).with_code(1)).0;
    for signal in [Signal::TERM, Signal::INT] {
        let child = start(&shop, &["check", "--full"]);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let done = finish(child).with_code(1);
        assert!(done.stderr.contains("`pakit check --resume`"), "{}", done.stderr);
        let (part, _) = report(&done);
        assert_eq!(part["is_complete"], json!(false));
        // What was said of it, it has: whoever starts over is told, and has some time to think again.
        let other = shop.run(&["--json", "check", "--resume", "--save-every", "60000"]).with_code(1);
        assert_eq!(report(&other), (whole.clone(), true));
    }
}

#[test]
fn who_starts_over_is_told_what_could_be_gone_on_with() {
    let shop = shop();
    start(&shop, &["check"]).kill().unwrap();
    thread::sleep(Duration::from_millis(50));
    let kept = fs::read(state(&shop)).unwrap();
    let complaint = shop.complaint(2, &["check", "--full", "--resume"]);
    assert!(complaint.contains("reads no payloads"), "{complaint}");
    let done = shop.run(&["check"]).with_code(0);
    assert!(done.stderr.contains("a check was interrupted at") && done.stderr.contains("--resume"), "{}", done.stderr);
    let complaint = shop.complaint(2, &["check", "--resume"]);
    assert!(complaint.contains("no check was interrupted here"), "{complaint}");
    // Something was stored since, and sums that were compared are others now.
    fs::write(state(&shop), &kept).unwrap();
    shop.put("more", "more");
    let complaint = shop.complaint(2, &["check", "--resume"]);
    assert!(complaint.contains("was written since") && complaint.contains("start over"), "{complaint}");
    let other = Shop::new();
    fs::write(state(&other), &kept).unwrap();
    assert!(other.complaint(2, &["check", "--resume"]).contains("another repository"));
}

#[test]
fn a_damaged_state_is_refused_and_starting_over_goes_on_without_it() {
    let shop = shop();
    for bytes in [&b"{}"[..], b"", &[0xff; 100], br#"{"format": "pakit-check/9"}"#] {
        fs::write(state(&shop), bytes).unwrap();
        shop.complaint(2, &["check", "--resume"]);
        assert!(shop.run(&["check"]).with_code(0).stderr.contains("cannot be gone on with"));
        assert!(!state(&shop).exists());
    }
    // What cannot be written down is said once, and the check goes on.
    fs::create_dir(state(&shop)).unwrap();
    let done = shop.run(&["check", "--save-every", "0"]).with_code(0);
    assert_eq!(done.stderr.matches("cannot be resumed").count(), 1, "{}", done.stderr);
    assert!(shop.complaint(2, &["check", "--resume"]).contains("is a folder"));
}
