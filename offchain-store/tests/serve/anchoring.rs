//! A schedule whose node is not there.

use super::{Archive, eventually};

#[test]
fn a_schedule_that_cannot_be_kept_is_told_and_counted_and_the_service_goes_on() {
    let archive = Archive::new();
    let block = archive.put(b"a deed");
    // No DAG and no node: neither ends the service.
    let nowhere = ["--dev", "--anchor-every", "1s", "--url", "ws://127.0.0.1:1"];
    for arguments in [&nowhere[..], &nowhere[..3]] {
        let mut server = archive.serve(arguments);
        eventually("a failure is counted", || server.metric("pakit_anchor_failures_total") >= 1.0);
        eventually("it is told", || server.log().contains("not anchored: "));
        assert_eq!(server.get(&format!("/v1/blocks/{block}/content")).body, b"a deed");
        assert_eq!(server.metric("pakit_anchors_sent_total"), 0.0);
        // Others may write meanwhile, and a signal ends it though it waits.
        archive.put(b"another deed");
        server.signal("-TERM");
        assert!(server.wait().success());
    }
}

#[test]
fn a_schedule_without_a_key_is_wrong_use() {
    let archive = Archive::new();
    let (code, message) = archive.complaint(&["serve", "--anchor-every", "10m"]);
    assert!(code == 2 && message.contains("--key-file"), "{code}: {message}");
    for wrong in [["--anchor-every", "10"], ["--anchor-blocks", "0"], ["--anchor-every", "soon"]] {
        let (code, message) = archive.complaint(&["serve", "--dev", wrong[0], wrong[1]]);
        assert!(code == 2 && message.contains(wrong[0]), "{code}: {message}");
    }
}
