//! Every change of a proof document that a reader must notice.

use serde_json::{Value, json};

/// A changed document.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// What was done, and where.
    pub name: String,
    /// The document's bytes.
    pub bytes: Vec<u8>,
    /// Whether a document that was valid for a reader who trusts the head it leads to (the later one, where it has a
    /// consistency proof) still is: something that this reader does not need is gone, or a hint is another.
    pub is_harmless: bool,
}

/// Makes every change: each member removed, null, and of another type; each number one off; each hash and header with a
/// changed, missing, added and upper-case digit; each list shorter, longer, in another order and empty; and, of the text,
/// keys that occur twice, numbers that are not integers, and ends that come early or late.
pub fn mutations(document: &str) -> Vec<Mutation> {
    let original: Value = serde_json::from_str(document).unwrap();
    let mut changed = Vec::new();
    change_value(&original, &mut Vec::new(), &mut |path, what, value| {
        let mut whole = original.clone();
        match value {
            Some(value) => *whole.pointer_mut(&pointer(path)).unwrap() = value,
            None => remove(&mut whole, path),
        }
        assert_ne!(whole, original, "{path:?}: {what} changes nothing");
        changed.push(Mutation {
            name: format!("{}: {what}", path.join(".")),
            bytes: whole.to_string().into_bytes(),
            is_harmless: is_harmless(path, what),
        });
    });
    changed.extend(of_text(document));
    changed
}

/// Told of each change: where, what, and the new value or `None` for none.
type Told<'a> = &'a mut dyn FnMut(&[String], &str, Option<Value>);

fn pointer(path: &[String]) -> String {
    path.iter().map(|step| format!("/{step}")).collect()
}

fn remove(whole: &mut Value, path: &[String]) {
    let (name, parent) = path.split_last().unwrap();
    whole.pointer_mut(&pointer(parent)).unwrap().as_object_mut().unwrap().remove(name).unwrap();
}

/// What stands under `anchor` tells where to look, and proves nothing: a well-formed change of it is another hint. Without
/// a chain that is meant, its genesis and DAG are hints too.
fn is_harmless(path: &[String], what: &str) -> bool {
    let is_well_formed = ["one more", "one less"].contains(&what) || what.starts_with("a digit changed");
    match path {
        [name] => what == "removed" && ["anchor", "lineage"].contains(&name.as_str()),
        [name, _] => name == "anchor" && is_well_formed,
        _ => false,
    }
}

fn change_value(value: &Value, path: &mut Vec<String>, told: Told<'_>) {
    if !path.is_empty() {
        for (what, other) in [("null", Value::Null), ("true", json!(true)), ("an object", json!({}))] {
            told(path, what, Some(other));
        }
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                path.push(name.clone());
                told(path, "removed", None);
                change_value(member, path, told);
                path.pop();
            }
        }
        Value::Array(items) => {
            change_list(items, path, told);
            // The ends stand for all: each item is folded into the same hash, or is the same kind of header.
            let ends = [0, items.len().saturating_sub(1)];
            for index in (0..items.len()).filter(|index| ends.contains(index)) {
                path.push(index.to_string());
                change_value(&items[index], path, told);
                path.pop();
            }
        }
        Value::Number(number) => change_number(number.as_u64().unwrap(), path, told),
        Value::String(text) => change_text(text, path, told),
        Value::Null | Value::Bool(_) => panic!("a proof document has no {value}"),
    }
}

fn change_list(items: &[Value], path: &[String], told: Told<'_>) {
    let Some((last, others)) = items.split_last() else { return };
    told(path, "the last item missing", Some(others.into()));
    told(path, "the first item missing", Some(items[1..].into()));
    told(path, "the last item twice", Some([items, std::slice::from_ref(last)].concat().into()));
    if items.len() > 1 {
        told(path, "no items", Some(json!([])));
    }
    let reverse: Vec<Value> = items.iter().rev().cloned().collect();
    if reverse != items {
        told(path, "in reverse", Some(reverse.into()));
    }
}

fn change_number(number: u64, path: &[String], told: Told<'_>) {
    told(path, "one more", Some(json!(number + 1)));
    let less = if number == 0 { json!(-1) } else { json!(number - 1) };
    told(path, if number == 0 { "negative" } else { "one less" }, Some(less));
    told(path, "as a text", Some(json!(number.to_string())));
    told(path, "with a fraction", Some(json!(number as f64 + 0.5)));
}

fn change_text(text: &str, path: &[String], told: Told<'_>) {
    let Some(digits) = text.strip_prefix("0x") else {
        told(path, "with a letter more", Some(json!(format!("{text}x"))));
        return;
    };
    let replace = |at: usize| {
        let other = if digits.as_bytes()[at] == b'0' { '1' } else { '0' };
        json!(format!("0x{}{other}{}", &digits[..at], &digits[at + 1..]))
    };
    told(path, "a digit changed at the start", Some(replace(0)));
    told(path, "a digit changed in the middle", Some(replace(digits.len() / 2)));
    told(path, "a digit changed at the end", Some(replace(digits.len() - 1)));
    told(path, "a byte missing", Some(json!(&text[..text.len() - 2])));
    told(path, "a byte more", Some(json!(format!("{text}00"))));
    told(path, "a digit missing", Some(json!(&text[..text.len() - 1])));
    told(path, "without 0x", Some(json!(digits)));
    told(path, "empty", Some(json!("0x")));
    let letter =
        digits.find(|digit: char| digit.is_ascii_lowercase()).expect("a hash without letters is not to be expected");
    let upper = digits[letter..=letter].to_uppercase();
    told(path, "an upper-case digit", Some(json!(format!("0x{}{upper}{}", &digits[..letter], &digits[letter + 1..]))));
}

/// Changes that a JSON value cannot express.
fn of_text(document: &str) -> Vec<Mutation> {
    let document = document.trim_end();
    let inner = document.strip_prefix('{').unwrap();
    let format = "\"format\":\"pakit-proof/1\"";
    let compact: Value = serde_json::from_str(document).unwrap();
    let size = compact["tree_head"]["size"].as_u64().unwrap();
    let compact = compact.to_string();
    let number = format!("\"size\":{size}");
    let renumbered = |text: &str| compact.replacen(&number, &format!("\"size\":{text}"), 1);
    let texts = [
        ("nothing", String::new()),
        ("a list around it", format!("[{document}]")),
        ("twice", format!("{document}{document}")),
        ("a key twice", format!("{{{format},{inner}")),
        ("an unknown key twice", format!("{{\"x\":1,\"x\":1,{inner}")),
        ("an unknown key with a fraction", format!("{{\"x\":1.5,{inner}")),
        ("the end missing", document[..document.len() - 1].to_owned()),
        ("half of it", document[..document.len() / 2].to_owned()),
        ("a comma more", format!("{},}}", &document[..document.len() - 1])),
        ("a comment", format!("{document} // valid")),
        ("a number with an exponent", renumbered(&format!("{size}e0"))),
        ("a number with an empty fraction", renumbered(&format!("{size}.0"))),
        ("a number with a leading zero", renumbered(&format!("0{size}"))),
        ("a number beyond 64 bits", renumbered(&(u128::from(u64::MAX) + 1).to_string())),
    ];
    let mut changed: Vec<Mutation> = texts
        .into_iter()
        .map(|(name, text)| Mutation { name: format!("text: {name}"), bytes: text.into_bytes(), is_harmless: false })
        .collect();
    let mut bytes = format!("{{\"x\":\"?\",{inner}").into_bytes();
    let question = bytes.iter().position(|byte| *byte == b'?').unwrap();
    bytes[question] = 0xff;
    changed.push(Mutation { name: "text: a byte that is not UTF-8".to_owned(), bytes, is_harmless: false });
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_change_is_another_document() {
        let digest = format!("0x{}", "ab".repeat(32));
        let document = json!({
            "format": "pakit-proof/1", "header": "0x504b54310a", "block_hash": digest, "tree_head": {"size": 5, "root": digest},
            "inclusion": {"leaf_index": 0, "path": [digest, digest]},
        })
        .to_string();
        let changed = mutations(&document);
        assert!(changed.len() > 50, "{}", changed.len());
        let distinct: BTreeSet<_> = changed.iter().map(|mutation| &mutation.name).collect();
        assert_eq!(distinct.len(), changed.len());
        assert!(changed.iter().all(|mutation| mutation.bytes != document.as_bytes() && !mutation.is_harmless));
    }
}
