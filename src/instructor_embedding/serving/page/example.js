// What is on screen before anything is typed: reviews of four subjects, with praise and complaints.
export const A = "Represent the review for clustering by topic: ";
export const B = "Represent an amazon review sentence for classifying emotion as positive or negative: ";

const ROWS = [
  ["hotel", "praise", "The hotel room was spotless and the view over the bay is lovely."],
  ["hotel", "praise", "Wonderful stay, the hotel staff carried our bags upstairs."],
  ["hotel", "praise", "We loved the quiet hotel and its big comfortable beds."],
  ["hotel", "praise", "The best hotel breakfast I ever had, and so friendly at the desk."],
  ["hotel", "complaint", "The hotel room smelled of smoke and the sheets were dirty."],
  ["hotel", "complaint", "Awful stay, the hotel lost our booking and nobody apologized."],
  ["hotel", "complaint", "Our hotel room was so loud that we could not sleep at all."],
  ["hotel", "complaint", "The hotel charged us twice, and the shower was broken."],
  ["phone", "praise", "The phone takes beautiful photos and the battery lasts two days."],
  ["phone", "praise", "I love this phone, the screen is bright and it never lags."],
  ["phone", "praise", "Great phone for the price, setting it up was easy."],
  ["phone", "praise", "The new phone is fast, light and a joy to use."],
  ["phone", "complaint", "The phone gets hot and its battery is empty by noon."],
  ["phone", "complaint", "I hate this phone, the screen cracked in the first week."],
  ["phone", "complaint", "Terrible phone, it freezes whenever I open the camera."],
  ["phone", "complaint", "The phone arrived scratched and will not charge."],
  ["film", "praise", "A beautiful film, the two actors are superb together."],
  ["film", "praise", "I enjoyed every minute of this film and its clever ending."],
  ["film", "praise", "The film is funny and warm, go and see it."],
  ["film", "praise", "A wonderful film with perfect music."],
  ["film", "complaint", "A dull film, the actors seem as bored as I was."],
  ["film", "complaint", "The film is far too long and the ending makes no sense."],
  ["film", "complaint", "What a waste of an evening, the worst film of the year."],
  ["film", "complaint", "The film is loud and stupid, I left halfway through."],
  ["meal", "praise", "The soup was rich and the bread came warm from the oven."],
  ["meal", "praise", "Delicious pasta, and the waiter knew every wine."],
  ["meal", "praise", "We loved the meal, above all the lemon cake."],
  ["meal", "praise", "Fresh fish, generous plates and a charming cook."],
  ["meal", "complaint", "The soup was cold and the bread was stale."],
  ["meal", "complaint", "Disgusting pasta, and the waiter ignored us for an hour."],
  ["meal", "complaint", "We regret the meal, the meat was raw and the bill was wrong."],
  ["meal", "complaint", "Greasy fish, tiny plates and a rude cook."],
];

export function table() {
  return { name: "example", columns: ["text", "subject", "opinion"], rows: ROWS.map(([subject, opinion, text]) => [text, subject, opinion]) };
}
