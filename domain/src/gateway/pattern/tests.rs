use super::*;

#[test]
fn a_pattern_is_refused_with_what_is_wrong_and_what_to_do() {
    type Words<'a> = Result<(), &'a [&'a str]>;
    let long = "a".repeat(1_000);
    let too_long = "a".repeat(4_097);
    let deep = format!("{}a{}", "(".repeat(200), ")".repeat(200));
    let table: [(&str, &str, Words<'_>); 24] = [
        ("a good one", "/v[0-9]+/.*|/x", Ok(())),
        ("nothing", "", Ok(())),
        ("one that ends in a comment", "(?x) /x+ # x", Ok(())),
        ("a long text", &long, Ok(())),
        ("many of a class", r"\w{1,500}", Ok(())),
        ("as many of any character as a name has", ".{1,255}", Ok(())),
        (
            "one cookie among others",
            r"(.*;\s*)?canary=(always|never)(;.*)?",
            Ok(()),
        ),
        (
            "an id somewhere",
            ".*[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}.*",
            Ok(()),
        ),
        ("letters beyond ASCII", "/(café|thé)", Ok(())),
        (
            "an open class",
            "/v[0-9",
            Err(&["Invalid value: \"/v[0-9\"", "unclosed", "RE2"]),
        ),
        ("a quantifier of nothing", "*", Err(&["repetition"])),
        (
            "one that closes a group that is not open",
            "a)(b",
            Err(&["unopened group"]),
        ),
        (
            "one that is two in a group",
            "a)|(b",
            Err(&["unopened group"]),
        ),
        (
            "a look-ahead, which RE2 has not",
            "a(?=b)",
            Err(&["look-around"]),
        ),
        ("groups within groups", &deep, Err(&["nested"])),
        ("a class of all letters", r"\p{L}+", Err(&["ASCII"])),
        ("a class of letters beyond ASCII", "[à-é]", Err(&["(à|é)"])),
        ("the flag for Unicode", r"(?u)\w+", Err(&["ASCII"])),
        ("that flag in a group", r"(?iu:\w+)", Err(&["ASCII"])),
        ("more than 4,096 bytes", &too_long, Err(&["4096", "divide"])),
        (
            "what is remembered behind anything",
            ".*a.{20}b.*",
            Err(&["128 KiB", "repeat less"]),
        ),
        (
            "repetitions in one another",
            "((a{99}){99}){99}",
            Err(&["128 KiB", "repeat less"]),
        ),
        ("a repetition of nothing", "((){999}){999}", Ok(())),
        (
            "choices of choices",
            "((a|b|c|d){0,99}x){0,99}",
            Err(&["128 KiB"]),
        ),
    ];
    for (given, pattern, expected) in table {
        let found = Pattern::parse(pattern).map_err(|error| error.to_string());
        match (&found, expected) {
            (Ok(found), Ok(())) => assert_eq!(found.as_str(), pattern, "{given}"),
            (Err(message), Err(words)) => {
                for word in words {
                    assert!(message.contains(word), "{given}: {message}");
                }
            }
            _ => panic!("{given}: {found:?}"),
        }
    }
}

#[test]
fn a_message_repeats_the_beginning_of_a_long_pattern_only() {
    let message = Pattern::parse(&"(é".repeat(1_000)).unwrap_err().to_string();
    assert!(
        message.contains("(é\"…") && message.len() < 250,
        "{message}"
    );
}

#[test]
fn a_pattern_holds_for_whole_values_of_any_bytes() {
    let longest = "a".repeat(16 * 1024);
    let longer = "a".repeat(16 * 1024 + 1);
    let table: [(&str, &[u8], bool); 13] = [
        ("a|ab", b"ab", true),
        ("a|ab", b"abc", false),
        ("(?i)a", b"A", true),
        ("a$", b"a", true),
        ("a.b", b"a\nb", false),
        ("(?s)a.b", b"a\nb", true),
        (r"\bx\b", b"x", true),
        (r"\w", "é".as_bytes(), false),
        ("caf..", "café".as_bytes(), true),
        ("S.o.*", b"S\xe3o Paulo", true),
        (".*;a=1(;.*)?", b"b=\xff;a=1", true),
        ("a*", longest.as_bytes(), true),
        ("a*", longer.as_bytes(), false),
    ];
    for (pattern, value, expected) in table {
        let compiled = Pattern::parse(pattern).unwrap().compiled().unwrap();
        assert_eq!(compiled.holds(value), expected, "{pattern}");
    }
}

#[test]
fn the_patterns_of_a_route_have_a_budget_and_what_is_beyond_it_costs_nothing() {
    let cheap = |n: usize| format!("/[ab]{{9}}{n}");
    let dear = |n: usize| format!("/{n}/.*a.{{9}}");
    let endless = |n: usize| format!(".*{n}.{{255}}.*b.{{255}}");
    type Text<'a> = &'a dyn Fn(usize) -> String;
    // What is written 4,224 times, how much of it is compiled, and what the first refusal says.
    let table: [(&str, Text<'_>, usize, &str); 4] = [
        ("small ones", &cheap, 128, "128 regular expressions"),
        ("the same one", &|_| cheap(0), 1, "128 regular expressions"),
        ("large ones", &dear, 16, "1024 KiB"),
        ("ones that are too large", &endless, 5, "128 KiB"),
    ];
    for (given, text, compiled, words) in table {
        let before = COMPILATIONS.get();
        let mut budget = PatternBudget::default();
        let mut refused = None;
        for n in 0..4_224 {
            if budget.is_exhausted() {
                break;
            }
            if let Err(error) = budget.parse(&text(n)) {
                refused.get_or_insert_with(|| error.to_string());
            }
        }
        assert_eq!(COMPILATIONS.get() - before, compiled, "{given}");
        assert!(budget.is_exhausted(), "{given}");
        let refused = refused.unwrap();
        assert!(refused.contains(words), "{given}: {refused}");
    }
}

#[test]
fn a_pattern_counts_as_often_as_it_is_written_and_for_4_kib_at_least() {
    let mut budget = PatternBudget::default();
    for (text, room) in [("a", 4), ("a", 8), ("b", 12)] {
        budget.parse(text).unwrap();
        assert_eq!(budget.room(), PatternRoom(room * 1024), "{text}");
    }
}
