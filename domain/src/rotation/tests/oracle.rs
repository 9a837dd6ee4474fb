//! Another opinion on schedules: minute after minute, without the `cron` crate.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as Moment};
use proptest::prelude::*;

use super::super::Schedule;
use crate::names::Timestamp;

/// One field: how it is written, and what it allows.
#[derive(Debug, Clone)]
struct Field {
    text: String,
    values: BTreeSet<i8>,
}

fn field(first: i8, last: i8) -> impl Strategy<Value = Field> {
    let all = move |step: usize| (first..=last).step_by(step).collect::<BTreeSet<_>>();
    let star = Just(Field {
        text: "*".to_owned(),
        values: all(1),
    });
    let steps = (1..9usize).prop_map(move |step| Field {
        text: format!("*/{step}"),
        values: all(step),
    });
    let item = (first..=last, first..=last, 1..5usize).prop_map(|(a, b, step)| {
        let (low, high) = (a.min(b), a.max(b));
        match step {
            1 => (format!("{low}"), vec![low]),
            2 => (format!("{low}-{high}"), (low..=high).collect()),
            _ => {
                let values = (low..=high).step_by(step).collect();
                (format!("{low}-{high}/{step}"), values)
            }
        }
    });
    let list = proptest::collection::vec(item, 1..3).prop_map(|items| {
        let (texts, values): (Vec<_>, Vec<Vec<i8>>) = items.into_iter().unzip();
        Field {
            text: texts.join(","),
            values: values.into_iter().flatten().collect(),
        }
    });
    prop_oneof![4 => star, 1 => steps, 2 => list]
}

fn matches([minute, hour, day, month, week]: &[Field; 5], clock: DateTime) -> bool {
    let weekday = clock.weekday().to_sunday_zero_offset();
    let on_day = day.values.contains(&clock.day());
    let on_weekday = week.values.contains(&weekday) || weekday == 0 && week.values.contains(&7);
    let is_open = |field: &Field| field.text.contains('*');
    let on_date = match is_open(day) || is_open(week) {
        true => on_day && on_weekday,
        false => on_day || on_weekday,
    };
    minute.values.contains(&clock.minute())
        && hour.values.contains(&clock.hour())
        && month.values.contains(&clock.month())
        && on_date
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The first minute after a moment at which the clock shows a time that matches, or has passed over one, and has not shown
/// it before. `None` when there is none within so many minutes.
fn next(fields: &[Field; 5], zone: &TimeZone, after: Moment, minutes: i64) -> Option<Moment> {
    // What the clock showed at most so far; it may have been put back within the last day.
    let mut latest = (0..=1500)
        .map(|back| zone.to_datetime(after - MINUTE * back))
        .max()
        .expect("a time");
    let first = after.as_second().div_euclid(60) + 1;
    for minute in first..first + minutes {
        let moment = Moment::from_second(minute * 60).expect("a moment");
        let shown = zone.to_datetime(moment);
        let mut time = latest.with().second(0).build().expect("a time") + MINUTE;
        while time <= shown {
            if matches(fields, time) {
                return Some(moment);
            }
            time += MINUTE;
        }
        latest = latest.max(shown);
    }
    None
}

const ZONES: [&str; 5] = [
    "UTC",
    "Europe/Berlin",
    "America/Los_Angeles",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
];

/// Moments around which clocks are changed, and others.
const AROUND: [&str; 6] = [
    "2026-03-28T23:00:00Z",
    "2026-10-24T22:30:00Z",
    "2026-03-08T08:00:00Z",
    "2026-11-01T07:00:00Z",
    "2028-02-28T12:00:00Z",
    "2026-12-31T12:00:00Z",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_schedule_comes_when_a_look_at_every_minute_says_so(
        fields in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)),
        zone in proptest::sample::select(&ZONES[..]),
        around in proptest::sample::select(&AROUND[..]),
        seconds in 0..86_400i64,
    ) {
        let fields: [Field; 5] = fields.into();
        let texts = fields.each_ref().map(|field| field.text.as_str());
        let Ok(schedule) = Schedule::parse(&texts.join(" "), Some(zone)) else {
            // It never comes, e.g. on 31 April.
            let months = &fields[3].values;
            prop_assert!(fields[2].values.iter().all(|day| *day > 28) && !months.contains(&1));
            return Ok(());
        };
        let after: Moment = around.parse().expect("a moment");
        let after = after + SignedDuration::from_secs(seconds);
        let window = 2 * 24 * 60;
        let end = after.as_second() + window * 60;
        let zone = TimeZone::get(zone).expect("a zone");
        let expected = next(&fields, &zone, after, window).map(Moment::as_second);
        let found = schedule.next_after(Timestamp(after.as_second())).map(|moment| moment.0);
        prop_assert_eq!(found.filter(|found| *found <= end - 60), expected.filter(|at| *at <= end - 60));
    }
}
