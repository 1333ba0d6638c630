//! Commands as they are called: the real program, a person with a home of their own, whatever machine this is.

#[cfg(test)]
mod doctor;
#[cfg(test)]
mod init;
#[cfg(test)]
mod person;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod words;
