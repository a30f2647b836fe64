// The words of the synthetic language. Lists that carry answers never share a word with the lists
// of the story filler, so a stated fact has no accidental second source in its context.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace rota_lm::synth::lexicon {

using word = std::string_view;
using words = std::span<const word>;

inline constexpr auto names = std::to_array<word>(
    {"Ada",   "Boris", "Clara", "David",  "Edith",  "Felix",  "Greta",  "Henry", "Irene",  "Jonas",
     "Karin", "Louis", "Marta", "Nadia",  "Oscar",  "Paula",  "Quinn",  "Rosa",  "Simon",  "Tessa",
     "Ulric", "Vera",  "Wanda", "Yusuf",  "Zelda",  "Anton",  "Bella",  "Cyril", "Doris",  "Emil",
     "Fiona", "Georg", "Hanna", "Ivan",   "Julia",  "Kevin",  "Laura",  "Miles", "Nora",   "Oleg",
     "Petra", "Ralph", "Sofia", "Tobias", "Ursula", "Victor", "Walter", "Xenia", "Yvonne", "Zoe"});

inline constexpr auto adjectives = std::to_array<word>(
    {"amber", "brave",  "calm",   "dusty", "eager",  "faint",  "gentle", "happy",
     "icy",   "jolly",  "keen",   "lazy",  "mighty", "noble",  "odd",    "pale",
     "quiet", "rapid",  "shy",    "tiny",  "urban",  "vivid",  "wild",   "young",
     "zesty", "bright", "clever", "dark",  "elder",  "fierce", "golden", "humble",
     "ivory", "jade",   "kind",   "loud",  "misty",  "narrow", "olive",  "proud",
     "round", "silver", "tall",   "upper", "vast",   "warm",   "yellow", "blue"});

inline constexpr auto animals = std::to_array<word>(
    {"ape",     "badger", "camel", "deer",   "eagle",  "fox",     "goat",    "heron",
     "ibis",    "jackal", "koala", "lion",   "moose",  "newt",    "otter",   "panda",
     "quail",   "raven",  "seal",  "tiger",  "urchin", "viper",   "wolf",    "yak",
     "zebra",   "beaver", "crow",  "dingo",  "elk",    "falcon",  "gecko",   "hare",
     "iguana",  "jaguar", "kiwi",  "lemur",  "mole",   "owl",     "parrot",  "rabbit",
     "sparrow", "toad",   "vole",  "weasel", "walrus", "cheetah", "dolphin", "ferret"});

// Values of needles.
inline constexpr auto objects = std::to_array<word>(
    {"anchor", "basket",   "candle",  "drum",   "engine", "flag",   "glove",  "hammer", "inkpot",
     "jacket", "kettle",   "ladder",  "mirror", "needle", "oven",   "pencil", "quilt",  "ribbon",
     "saddle", "table",    "urn",     "vase",   "wagon",  "zipper", "arrow",  "button", "carpet",
     "dial",   "envelope", "feather", "goblet", "helmet", "icicle", "jewel",  "kite",   "lantern",
     "magnet", "napkin",   "oar",     "pillow", "quiver", "rope",   "sponge", "tent",   "umbrella",
     "violin", "whistle",  "yarn",    "axe",    "bottle", "cup",    "door",   "easel",  "fork",
     "globe",  "hook",     "iron",    "jar",    "knife",  "lamp",   "medal",  "net",    "orb",
     "pipe",   "rake",     "shovel",  "torch",  "valve",  "wheel",  "bell",   "chain",  "dish",
     "fan",    "gate",     "harp",    "key",    "lock",   "mask",   "nail",   "pot",    "ring",
     "sword",  "tray",     "wire",    "brush",  "clock",  "crown",  "flute",  "grill",  "horn"});

inline constexpr auto variables = std::to_array<word>(
    {"alpha",   "bravo",  "charlie", "delta",   "echo",    "foxtrot", "golf",   "hotel",
     "india",   "juliet", "kilo",    "lima",    "mike",    "nova",    "omega",  "papa",
     "quebec",  "romeo",  "sierra",  "tango",   "uniform", "vector",  "whisky", "xray",
     "yankee",  "zulu",   "beta",    "gamma",   "sigma",   "theta",   "kappa",  "lambda",
     "epsilon", "zeta",   "iota",    "mu",      "nu",      "rho",     "tau",    "phi",
     "chi",     "psi",    "upsilon", "omicron", "pi",      "eta",     "ksi",    "digamma"});

inline constexpr auto foods = std::to_array<word>(
    {"apples", "beans", "cakes",  "dates",  "eggs",   "figs",    "grapes",  "honey",
     "jam",    "kale",  "lemons", "melons", "nuts",   "onions",  "pears",   "rice",
     "soup",   "toast", "yams",   "bread",  "cheese", "dough",   "garlic",  "ham",
     "leeks",  "mango", "oats",   "peas",   "salad",  "turnips", "waffles", "plums"});

inline constexpr auto towns = std::to_array<word>(
    {"Athens", "Berlin", "Cairo",   "Dublin", "Essen",   "Florence", "Geneva", "Havana",
     "Istria", "Jaffa",  "Kyoto",   "Lisbon", "Madrid",  "Naples",   "Oslo",   "Paris",
     "Quito",  "Rome",   "Seoul",   "Tunis",  "Utrecht", "Vienna",   "Warsaw", "York",
     "Zurich", "Boston", "Chester", "Delhi",  "Exeter",  "Fargo",    "Ghent",  "Halifax"});

inline constexpr auto games = std::to_array<word>(
    {"chess",   "tennis",  "poker",  "darts",   "rugby",   "squash",  "billiards", "bowls",
     "hockey",  "cards",   "dice",   "polo",    "cricket", "soccer",  "checkers",  "croquet",
     "bingo",   "hurling", "judo",   "boxing",  "archery", "fencing", "rowing",    "curling",
     "surfing", "skating", "karate", "sailing", "diving",  "cycling", "snooker",   "handball"});

inline constexpr auto goods = std::to_array<word>(
    {"bricks", "coal",  "dolls", "fur",    "glass",  "hats",  "ink",   "jugs",
     "lace",   "maps",  "oil",   "paint",  "rugs",   "silk",  "tiles", "wool",
     "boots",  "coats", "desks", "fabric", "gloves", "hoses", "kites", "leather",
     "mats",   "paper", "rings", "soap",   "tin",    "vases", "wax",   "zinc"});

// Story words.
inline constexpr auto song_words = std::to_array<word>(
    {"moon",   "star",  "cloud",  "stone",  "leaf",   "wave",   "sand",   "hill",
     "valley", "ocean", "flame",  "smoke",  "dream",  "heart",  "shadow", "light",
     "mother", "child", "sister", "winter", "summer", "spring", "autumn", "dawn",
     "dusk",   "field", "meadow", "island", "shore",  "breeze", "storm",  "petal",
     "rose",   "thorn", "root",   "branch", "nest",   "wing",   "sky",    "road"});
inline constexpr auto trades = std::to_array<word>(
    {"baker", "miller", "sailor", "tailor", "doctor", "farmer", "hunter", "painter", "singer",
     "teacher", "weaver", "writer", "mason", "judge", "pilot", "smith"});
inline constexpr auto homes =
    std::to_array<word>({"Ashford", "Birchwood", "Cliffton", "Dunmoor", "Eastgate", "Fairhill",
                         "Greenvale", "Highrock", "Lakeside", "Milltown", "Northbay", "Oakridge",
                         "Pinewood", "Redcliff", "Southport", "Westfield"});
inline constexpr auto pets =
    std::to_array<word>({"dog", "cat", "pony", "hen", "goose", "mouse", "canary", "turtle"});
inline constexpr auto spots =
    std::to_array<word>({"river", "market", "bridge", "forest", "church", "mill", "garden",
                         "station", "library", "harbor"});
inline constexpr auto times = std::to_array<word>({"morning", "afternoon", "evening", "night"});
inline constexpr auto weather =
    std::to_array<word>({"rain", "snow", "wind", "fog", "sunshine", "thunder"});
inline constexpr auto moods =
    std::to_array<word>({"tired", "glad", "worried", "hungry", "curious", "angry"});

struct relation {
  word verb;        // "eats", as it stands in a statement
  word infinitive;  // "eat", as it stands in a question
  words values;
};

inline constexpr auto relations = std::to_array<relation>({{"eats", "eat", foods},
                                                           {"visits", "visit", towns},
                                                           {"plays", "play", games},
                                                           {"sells", "sell", goods}});

}  // namespace rota_lm::synth::lexicon
