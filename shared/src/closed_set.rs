//! Closed sets of words, such as the reasons in a health report. Each word is written once, and is the same in code, logs,
//! JSON and the API document.

/// Declares an enum whose variants are words. `as_str` returns the word, and `Serialize` writes it. With the feature
/// `openapi` of the crate that declares the enum, its schema is the list of words.
#[macro_export]
macro_rules! closed_set {
    ($(#[$attribute:meta])* $visibility:vis enum $name:ident {
        $($(#[$variant_attribute:meta])* $variant:ident = $word:literal,)+
    }) => {
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        $(#[$attribute])*
        $visibility enum $name {
            $(
                $(#[$variant_attribute])*
                #[cfg_attr(feature = "openapi", schema(rename = $word))]
                $variant,
            )+
        }

        impl $name {
            /// The word of this variant.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

#[cfg(test)]
mod tests {
    closed_set! {
        enum Lamp {
            Dark = "dark",
            Lit = "lit_up",
        }
    }

    #[test]
    fn a_word_is_the_same_in_code_in_json_and_in_the_api_document() {
        assert_eq!(Lamp::Dark.as_str(), "dark");
        assert_eq!(
            serde_json::to_value([Lamp::Dark, Lamp::Lit]).unwrap(),
            serde_json::json!(["dark", "lit_up"])
        );
        #[cfg(feature = "openapi")]
        {
            let schema = serde_json::to_value(<Lamp as utoipa::PartialSchema>::schema()).unwrap();
            assert_eq!(schema["enum"], serde_json::json!(["dark", "lit_up"]));
        }
    }
}
