//! Which schedules are read, and when they are due.

use super::super::{Schedule, ScheduleField};
use super::at;

/// The next moments, in the zone.
fn next(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(cron, Some(zone)).unwrap();
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let mut moment = at(after);
    let mut found = Vec::new();
    for _ in 0..count {
        let Some(next) = schedule.next_after(moment) else {
            break;
        };
        assert!(next > moment, "{cron}");
        moment = next;
        let shown = jiff::Timestamp::from_second(next.0).unwrap();
        let shown = shown.to_zoned(zone.clone());
        found.push(shown.strftime("%a %Y-%m-%d %H:%M:%S %z").to_string());
    }
    found
}

#[test]
fn fields_are_read_as_cron_5_reads_them() {
    let longest = "1,".repeat(59) + "01 * * * *";
    assert_eq!(longest.len(), 128);
    for (cron, expected) in [
        (
            "0 18 * * 4",
            &["Thu 2026-01-01 18:00", "Thu 2026-01-08 18:00"][..],
        ),
        (
            "0 0 * * 0",
            &["Sun 2026-01-04 00:00", "Sun 2026-01-11 00:00"],
        ),
        (
            "0 0 * * 7",
            &["Sun 2026-01-04 00:00", "Sun 2026-01-11 00:00"],
        ),
        (
            "0 0 * * 1",
            &["Mon 2026-01-05 00:00", "Mon 2026-01-12 00:00"],
        ),
        (
            "0 0 * * sun",
            &["Sun 2026-01-04 00:00", "Sun 2026-01-11 00:00"],
        ),
        (
            "0 0 * * 5-7",
            &[
                "Fri 2026-01-02 00:00",
                "Sat 2026-01-03 00:00",
                "Sun 2026-01-04 00:00",
            ],
        ),
        (
            "0 0 * * Mon-WED",
            &[
                "Mon 2026-01-05 00:00",
                "Tue 2026-01-06 00:00",
                "Wed 2026-01-07 00:00",
            ],
        ),
        (
            "0 0 1 Feb,dec *",
            &["Sun 2026-02-01 00:00", "Tue 2026-12-01 00:00"],
        ),
        (
            "*/20 * * * *",
            &[
                "Thu 2026-01-01 00:20",
                "Thu 2026-01-01 00:40",
                "Thu 2026-01-01 01:00",
            ],
        ),
        (
            "40/10 * * * *",
            &[
                "Thu 2026-01-01 00:40",
                "Thu 2026-01-01 00:50",
                "Thu 2026-01-01 01:40",
            ],
        ),
        (
            "5-15/10,30 9 * * *",
            &[
                "Thu 2026-01-01 09:05",
                "Thu 2026-01-01 09:15",
                "Thu 2026-01-01 09:30",
            ],
        ),
        // Either of both restricted fields for days.
        (
            "0 0 13 * 5",
            &[
                "Fri 2026-01-02 00:00",
                "Fri 2026-01-09 00:00",
                "Tue 2026-01-13 00:00",
            ],
        ),
        // A field with `*` restricts like any other: both must match.
        (
            "0 0 */2 * 5",
            &["Fri 2026-01-09 00:00", "Fri 2026-01-23 00:00"],
        ),
        (
            "0 0 ? * 5",
            &["Fri 2026-01-02 00:00", "Fri 2026-01-09 00:00"],
        ),
        (
            "0 0 29 2 *",
            &["Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00"],
        ),
        (
            "0 0 31 * *",
            &["Sat 2026-01-31 00:00", "Tue 2026-03-31 00:00"],
        ),
        (
            "59 23 31 12 *",
            &["Thu 2026-12-31 23:59", "Fri 2027-12-31 23:59"],
        ),
        (
            "0,0-5/5,5 0 * * *",
            &["Thu 2026-01-01 00:05", "Fri 2026-01-02 00:00"],
        ),
        (&longest, &["Thu 2026-01-01 00:01", "Thu 2026-01-01 01:01"]),
        ("@hourly", &["Thu 2026-01-01 01:00", "Thu 2026-01-01 02:00"]),
        ("@daily", &["Fri 2026-01-02 00:00", "Sat 2026-01-03 00:00"]),
        (
            "@midnight",
            &["Fri 2026-01-02 00:00", "Sat 2026-01-03 00:00"],
        ),
        ("@weekly", &["Sun 2026-01-04 00:00", "Sun 2026-01-11 00:00"]),
        (
            "@monthly",
            &["Sun 2026-02-01 00:00", "Sun 2026-03-01 00:00"],
        ),
        ("@yearly", &["Fri 2027-01-01 00:00", "Sat 2028-01-01 00:00"]),
        (
            "@annually",
            &["Fri 2027-01-01 00:00", "Sat 2028-01-01 00:00"],
        ),
        (
            "@every 1h",
            &["Thu 2026-01-01 01:00", "Thu 2026-01-01 02:00"],
        ),
        (
            "@every 1.5h30m",
            &["Thu 2026-01-01 02:00", "Thu 2026-01-01 04:00"],
        ),
    ] {
        let found = next(cron, "UTC", "2026-01-01T00:00:00Z", expected.len());
        let expected = expected.iter().map(|text| format!("{text}:00 +0000"));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{cron}");
    }
}

#[test]
fn each_time_of_a_clock_that_is_changed_comes_once() {
    for (cron, zone, after, expected) in [
        // 02:00 to 03:00 does not come on 2026-03-29.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &[
                "Sun 2026-03-29 03:00:00 +0200",
                "Mon 2026-03-30 02:30:00 +0200",
            ][..],
        ),
        (
            "0,30 2-3 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &[
                "Sun 2026-03-29 03:00:00 +0200",
                "Sun 2026-03-29 03:30:00 +0200",
                "Mon 2026-03-30 02:00:00 +0200",
            ],
        ),
        // 02:00 to 03:00 comes twice on 2026-10-25.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &[
                "Sun 2026-10-25 02:30:00 +0200",
                "Mon 2026-10-26 02:30:00 +0100",
            ],
        ),
        (
            "30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:00:00Z",
            &[
                "Sun 2026-10-25 01:30:00 +0200",
                "Sun 2026-10-25 02:30:00 +0200",
                "Sun 2026-10-25 03:30:00 +0100",
            ],
        ),
        // Within the second of both hours.
        (
            "* * * * *",
            "Europe/Berlin",
            "2026-10-25T01:10:00Z",
            &["Sun 2026-10-25 03:00:00 +0100"],
        ),
        // Half an hour only.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00Z",
            &[
                "Sun 2026-10-04 02:30:00 +1100",
                "Mon 2026-10-05 02:15:00 +1100",
            ],
        ),
        // A whole day that did not come.
        (
            "0 12 30 12 *",
            "Pacific/Apia",
            "2011-12-01T00:00:00Z",
            &[
                "Sat 2011-12-31 00:00:00 +1400",
                "Sun 2012-12-30 12:00:00 +1400",
            ],
        ),
        (
            "0 18 * * 4",
            "America/Los_Angeles",
            "2026-10-29T12:00:00Z",
            &[
                "Thu 2026-10-29 18:00:00 -0700",
                "Thu 2026-11-05 18:00:00 -0800",
            ],
        ),
    ] {
        let found = next(cron, zone, after, expected.len());
        assert_eq!(found, expected, "{cron} {zone}");
    }
}

#[test]
fn a_schedule_that_is_none_is_refused_with_field_and_remedy() {
    let of_length = |length: usize| format!("{:<1$}* * * *", "1", length - "* * * *".len());
    let long = of_length(129);
    assert!(Schedule::parse(&of_length(128), None).is_ok());
    for (cron, zone, expected) in [
        ("", None, "must be five fields"),
        (
            "* * * *",
            None,
            "must be five fields (minute, hour, day of month, month, day of week) and not 4",
        ),
        ("0 0 18 * * 4", None, "and not 6"),
        ("CRON_TZ=UTC 0 18 * * 4", None, "and not 6"),
        (
            "60 * * * *",
            None,
            "must have values between 0 and 59 in the field minute",
        ),
        ("-1 * * * *", None, "in the field minute"),
        ("+1 * * * *", None, "in the field minute"),
        (
            "0 24 * * *",
            None,
            "must have values between 0 and 23 in the field hour",
        ),
        (
            "0 0 0 * *",
            None,
            "must have values between 1 and 31 in the field day of month",
        ),
        (
            "0 0 * 13 *",
            None,
            "must have values between 1 and 12 or jan to dec in the field month",
        ),
        (
            "0 0 * * 8",
            None,
            "must have values between 0 and 7 or sun to sat in the field day of week",
        ),
        ("0 0 * * Thursday", None, "in the field day of week"),
        (
            "0 0 * feb-jan *",
            None,
            "must not count down in the field month",
        ),
        (
            "*/0 * * * *",
            None,
            "must have a step of 1 or more in the field minute",
        ),
        ("*/ * * * *", None, "must have a step of 1 or more"),
        ("1,,2 * * * *", None, "in the field minute"),
        ("0 0 L * *", None, "in the field day of month"),
        ("0 0 31 2 *", None, "must be a day that some month has"),
        (
            "0 0 30 feb *",
            Some("Europe/Berlin"),
            "must be a day that some month has",
        ),
        ("@fortnightly", None, "must be @hourly"),
        ("@reboot", None, "must be @hourly"),
        ("@every", None, "must be @hourly"),
        ("@every 1d", None, "must have a duration such as 12h"),
        ("@every 1", None, "must have a duration such as 12h"),
        ("@every 1.2.3h", None, "must have a duration such as 12h"),
        ("@every -1h", None, "must have a duration such as 12h"),
        (
            "@every 59s",
            None,
            "must have a duration between 1m and 8784h",
        ),
        (
            "@every 99999999999999999999h",
            None,
            "must have a duration between 1m and 8784h",
        ),
        (&long, None, "must have at most 128 characters"),
        (
            "0 0 * * *",
            Some("Mars/Olympus"),
            "must be the name of a time zone in the IANA database",
        ),
        (
            "0 0 * * *",
            Some("Local"),
            "must be the name of a time zone in the IANA database",
        ),
        (
            "@every 1h",
            Some("+02:00"),
            "must be the name of a time zone in the IANA database",
        ),
    ] {
        let error = Schedule::parse(cron, zone).unwrap_err();
        let field = match error.message.contains("time zone") {
            true => ScheduleField::TimeZone,
            false => ScheduleField::Cron,
        };
        assert_eq!(error.field, field, "{cron}");
        assert!(error.message.starts_with("Invalid value: \""), "{error}");
        assert!(error.message.contains(": write for example \""), "{error}");
        assert!(error.message.contains(expected), "{cron}: {error}");
        assert!(error.message.len() < 300, "{error}");
    }
}

#[test]
fn the_default_is_thursday_evening_in_los_angeles_and_without_a_zone_it_is_utc() {
    let now = at("2026-01-01T00:00:00Z");
    let default = Schedule::default().next_after(now).unwrap();
    assert_eq!(default, at("2026-01-02T02:00:00Z"));
    for zone in [None, Some("")] {
        let schedule = Schedule::parse("0 18 * * 4", zone).unwrap();
        assert_eq!(
            schedule.next_after(now).unwrap(),
            at("2026-01-01T18:00:00Z")
        );
        assert_eq!(schedule.to_string(), "0 18 * * 4 UTC");
    }
}
