//! The words of one statement, read from the left.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::fault::Fault;

/// The significant tokens of a statement and how far they are read.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    /// The tokens.
    pub(crate) tokens: &'a [TokenWithSpan],
    /// Where each begins in the text.
    pub(crate) starts: &'a [usize],
    /// Where the last ends.
    pub(crate) end: usize,
    /// The whole text.
    pub(crate) text: &'a str,
    /// The next token.
    pub(crate) at: usize,
}

impl<'a> Words<'a> {
    /// The token that comes next.
    pub(crate) fn next(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|it| &it.token)
    }

    /// The first word in upper case, which is passed; nothing for what is none.
    pub(crate) fn verb(&mut self) -> String {
        match self.next() {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                self.at += 1;
                word.value.to_ascii_uppercase()
            }
            _ => String::new(),
        }
    }

    /// Whether this word comes next.
    pub(crate) fn peek(&self, keyword: &str) -> bool {
        matches!(self.next(), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
    }

    /// Passes this word if it comes next.
    pub(crate) fn eat(&mut self, keyword: &str) -> bool {
        let is_next = self.peek(keyword);
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes this token if it comes next.
    pub(crate) fn eat_token(&mut self, token: &Token) -> bool {
        let is_next = self.next() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes this word.
    ///
    /// # Errors
    /// When something else comes next.
    pub(crate) fn expect(&mut self, keyword: &str) -> Result<(), Fault> {
        if self.eat(keyword) { Ok(()) } else { Err(self.unexpected(keyword)) }
    }

    /// What comes next is not what should.
    pub(crate) fn unexpected(&self, wanted: &str) -> Fault {
        let found = self.next().map_or_else(|| "the end".to_owned(), ToString::to_string);
        let found: String = found.chars().take(40).collect();
        Fault::error("42601", format!("syntax error at \"{found}\": {wanted} is expected"))
    }

    /// A name, in lower case unless it is quoted.
    ///
    /// # Errors
    /// When none comes next.
    pub(crate) fn name(&mut self) -> Result<String, Fault> {
        let Some(Token::Word(word)) = self.next() else { return Err(self.unexpected("a name")) };
        self.at += 1;
        Ok(if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() })
    }

    /// A name of one or more parts.
    ///
    /// # Errors
    /// When none comes next.
    pub(crate) fn dotted(&mut self) -> Result<String, Fault> {
        let mut name = self.name()?;
        while self.eat_token(&Token::Period) {
            name = format!("{name}.{}", self.name()?);
        }
        Ok(name)
    }

    /// A count, if one comes next.
    ///
    /// # Errors
    /// For one that is too large, or below zero.
    pub(crate) fn number(&mut self) -> Result<Option<u32>, Fault> {
        let Some(Token::Number(digits, _)) = self.next() else { return Ok(None) };
        let count = digits.parse().map_err(|_large| self.unexpected("a count of rows"))?;
        self.at += 1;
        Ok(Some(count))
    }

    /// Everything that follows as values between commas: strings, words and numbers.
    pub(crate) fn values(&mut self) -> Vec<String> {
        let mut values = Vec::new();
        let mut is_open = true;
        while let Some(token) = self.next() {
            self.at += 1;
            match token {
                Token::Comma => is_open = true,
                token if is_open => {
                    values.push(value(token));
                    is_open = false;
                }
                // A value of several tokens, such as -1 or INTERVAL '1'.
                token => values.last_mut().into_iter().for_each(|last| last.push_str(&value(token))),
            }
        }
        values
    }

    /// The words that follow, between single spaces.
    pub(crate) fn rest_of_words(&mut self) -> String {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        self.at = self.tokens.len();
        let mut shown = String::new();
        for it in rest {
            let is_joined = shown.is_empty() || shown.ends_with('.') || it.token == Token::Period;
            shown.push_str(if is_joined { "" } else { " " });
            shown.push_str(&value(&it.token));
        }
        shown.to_ascii_lowercase()
    }

    /// Where the next token begins in the text.
    pub(crate) fn place(&self) -> usize {
        self.starts.get(self.at).copied().unwrap_or(self.end)
    }

    /// The text that follows.
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.place()..self.end).unwrap_or_default()
    }

    /// The text from a place to the next token.
    pub(crate) fn since(&self, place: usize) -> &'a str {
        self.text.get(place..self.place()).unwrap_or_default()
    }
}

/// A token as a value.
pub(crate) fn value(token: &Token) -> String {
    match token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text.clone(),
        Token::Word(word) => word.value.clone(),
        other => other.to_string(),
    }
}

/// The beginning of what a client said, for a message.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(63).collect()
}
