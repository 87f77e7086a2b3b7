//! docs/openapi.json and the service, compared. `cargo xtask http` sends requests that are made up from it.

use super::{Archive, Server};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

/// The document, and what the service gives of it.
fn document(server: &Server) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let reply = server.get("/openapi.json");
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(String::from_utf8(reply.body.clone()).unwrap(), fs::read_to_string(path).unwrap());
    reply.json()
}

/// The routes, out of the one place where they stand.
fn routes() -> BTreeSet<(String, String)> {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve/routes.rs")).unwrap();
    let route = |line: &str| {
        let (path, handler) = line.trim().strip_prefix(".route(\"")?.split_once("\", ")?;
        Some((path.to_owned(), handler.split('(').next()?.to_owned()))
    };
    let routes: BTreeSet<_> = source.lines().filter_map(route).collect();
    assert!(routes.len() > 10, "{routes:?}");
    routes
}

#[test]
fn the_document_in_docs_is_the_one_that_is_served_and_has_every_route() {
    let document = document(&Archive::new().serve(&[]));
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let operations = |(path, item): (&String, &Value)| -> Vec<_> {
        item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())).collect()
    };
    let described: BTreeSet<_> = document["paths"].as_object().unwrap().iter().flat_map(operations).collect();
    assert_eq!(described, routes());
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/http.md")).unwrap();
    for (path, _) in described.iter().filter(|(path, _)| path.starts_with("/v1")) {
        assert!(page.contains(&path.replace("{block}", "BLOCK")), "{path} is not in docs/http.md");
    }
}

#[test]
fn every_path_that_is_described_is_answered_with_a_status_that_is_described() {
    let archive = Archive::new();
    let block = archive.put(b"a deed");
    let server = archive.serve(&[]);
    let document = document(&server);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for block in [&*block, "0x12"] {
                for query in ["", "?size=1&position=0", "?from=1"] {
                    let path = format!("{}{query}", path.replace("{block}", block));
                    let reply = server.ask(&method.to_uppercase(), &path, &[("content-length", "0")]);
                    let status = reply.status.to_string();
                    assert!(operation["responses"].get(&status).is_some(), "{method} {path}: {status}");
                    let content = operation["responses"][&status]["content"].as_object();
                    let kind = reply.header("content-type").split(';').next().unwrap();
                    assert!(content.is_some_and(|content| content.contains_key(kind)), "{method} {path}: {kind}");
                }
            }
        }
    }
}
