//! What holds at every step of a history, and in the end.

/// A rule that may be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What was stated last, and written, is what the store wants, whoever was told.
    KeepsWhatWasStated,
    /// A piece of work that somebody has is taken by nobody else before its time is over.
    TakesOnlyWhatIsFree,
    /// The end of a piece of work is written by the one alone who has it.
    FinishesOnlyWhatItHas,
    /// Nothing is written at Cloudflare for a statement after something was for a later one of the same Gateway.
    NeverGoesBack,
    /// A hostname is given to one cluster at a time.
    OneClusterForAName,
    /// A Gateway has one tunnel, and a hostname one record.
    OneOfEach,
    /// A token is replaced once for each time that this was asked for.
    ReplacesTokensOnce,
    /// The audit is one whole chain.
    ChainVerifies,
    /// In the end everything is as it was stated, and looking at it again writes nothing.
    ConvergesAndStays,
}
