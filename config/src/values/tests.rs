//! Which texts are values.

use super::*;

#[test]
fn periods_are_read_with_units_and_written_shortly() {
    for (text, expected) in [
        ("30s", Some(("30s", 30_000))),
        ("10m", Some(("10m", 600_000))),
        ("1h30m", Some(("1h30m", 5_400_000))),
        ("90m", Some(("1h30m", 5_400_000))),
        ("1m500ms", Some(("1m500ms", 60_500))),
        ("250ms", Some(("250ms", 250))),
        ("0h1s", Some(("1s", 1_000))),
        ("30", None),
        ("", None),
        ("s", None),
        ("0s", None),
        ("-1s", None),
        ("1.5s", Some(("1s500ms", 1_500))),
        ("1s1m", None),
        ("1s1s", None),
        ("1 s", Some(("1s", 1_000))),
        ("1S", None),
        ("1d", None),
        ("1mo", None),
        ("1y", None),
        ("1s ago", None),
        ("1ms1s", None),
        ("٣s", None),
        ("18446744073709551615h", None),
        ("99999999999999999999s", None),
    ] {
        let found = text.parse::<Period>().ok();
        let found = found.map(|period| (period.to_string(), period.get().as_millis()));
        let expected = expected.map(|(text, millis)| (text.to_owned(), millis));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn each_type_takes_its_texts_and_no_others() {
    fn fits<T: FromStr>(texts: &[&str]) -> Vec<bool> {
        texts.iter().map(|text| text.parse::<T>().is_ok()).collect()
    }
    let yes = |found: Vec<bool>| assert!(found.iter().all(|fit| *fit), "{found:?}");
    let no = |found: Vec<bool>| assert!(!found.iter().any(|fit| *fit), "{found:?}");

    yes(fits::<Label>(&["default", "a", "a-1", "0"]));
    no(fits::<Label>(&[
        "",
        "A",
        "-a",
        "a-",
        "a_b",
        "a.b",
        &"a".repeat(64),
    ]));

    yes(fits::<AddressRanges>(&[
        "",
        "192.0.2.0/24",
        "192.0.2.1/32, 2001:db8::/128",
        &["192.0.2.0/24"; 64].join(","),
    ]));
    no(fits::<AddressRanges>(&[
        "192.0.2.1",
        "192.0.2.0/33",
        "2001:db8::/129",
        "192.0.2.0/-1",
        "example.com/24",
        &["192.0.2.0/24"; 65].join(","),
    ]));

    yes(fits::<BaseUrl>(&[
        "https://api.cloudflare.com/client/v4",
        "https://a.example:8443",
        "http://127.0.0.1:9000/client/v4",
        "http://[::1]:9000",
        "http://[::1]",
        "http://localhost",
    ]));
    no(fits::<BaseUrl>(&[
        "",
        "api.cloudflare.com",
        "http://api.cloudflare.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com:80",
        "https://user:secret@api.cloudflare.com",
        "https://a.example/?x=y",
        "https://a.example/#x",
        "https:///client",
        "https://a b",
        "ftp://a.example",
    ]));

    yes(fits::<BrokerUrls>(&[
        "https://a.example:8443",
        "https://a.example, https://b.example/behind",
    ]));
    no(fits::<BrokerUrls>(&[
        "",
        "https://a.example,",
        "https://a.example,http://b.example",
        "https://a.example,https://a.example",
        &(0..9)
            .map(|number| format!("https://b{number}.example"))
            .collect::<Vec<_>>()
            .join(","),
    ]));

    yes(fits::<ServerName>(&["h2.cftunnel.com", "localhost"]));
    no(fits::<ServerName>(&[
        "",
        "h2..com",
        ".com",
        "h2.cftunnel.com.",
        "a:1",
        "*.a.com",
    ]));

    yes(fits::<Address>(&[
        "127.0.0.1:0",
        "[::1]:8081",
        "0.0.0.0:80",
    ]));
    no(fits::<Address>(&[
        "",
        "localhost:80",
        "127.0.0.1",
        ":80",
        "127.0.0.1:70000",
    ]));

    yes(fits::<EdgeAddresses>(&[
        "discover",
        "127.0.0.1:7844",
        "127.0.0.1:1, [::1]:2",
    ]));
    no(fits::<EdgeAddresses>(&[
        "",
        ",",
        "auto",
        "127.0.0.1",
        "127.0.0.1:1,",
    ]));

    yes(fits::<Connections>(&["1", "4", "8"]));
    no(fits::<Connections>(&["0", "9", "-1", "4.0", "four", ""]));
    yes(fits::<RequestBudget>(&["10", "600", "1200"]));
    no(fits::<RequestBudget>(&["9", "1201"]));

    yes(fits::<TransportChoice>(&["auto", "http2", "quic"]));
    no(fits::<TransportChoice>(&["", "HTTP2", "h2mux"]));
    yes(fits::<LogFormat>(&["text", "json"]));
    no(fits::<LogFormat>(&["", "JSON", "yaml"]));
    yes(fits::<LogFilter>(&["info", "info,hyper=warn"]));
    no(fits::<LogFilter>(&[""]));
}

#[test]
fn memory_is_an_amount_with_a_unit_or_found_by_the_program() {
    for (text, expected) in [
        ("auto", Some((MemoryLimit::Auto, "auto"))),
        ("512Mi", Some((MemoryLimit::Bytes(512 << 20), "512Mi"))),
        ("1Gi", Some((MemoryLimit::Bytes(1 << 30), "1Gi"))),
        ("1024Mi", Some((MemoryLimit::Bytes(1 << 30), "1Gi"))),
        ("65536Ki", Some((MemoryLimit::Bytes(64 << 20), "64Mi"))),
        ("500M", Some((MemoryLimit::Bytes(500_000_000), "500M"))),
        ("2G", Some((MemoryLimit::Bytes(2_000_000_000), "2G"))),
        ("536870912", Some((MemoryLimit::Bytes(512 << 20), "512Mi"))),
        ("31Mi", None),
        ("0", None),
        ("", None),
        ("Mi", None),
        ("512 Mi", None),
        ("512mi", None),
        ("-1Gi", None),
        ("1.5Gi", None),
        ("17179869184Gi", None),
    ] {
        let found: Option<MemoryLimit> = text.parse().ok();
        let written = found.map(|limit| (limit, limit.to_string()));
        let expected = expected.map(|(limit, text)| (limit, text.to_owned()));
        assert_eq!(written, expected, "{text}");
    }
}
