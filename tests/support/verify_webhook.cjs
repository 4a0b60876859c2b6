// Asks the Standard Webhooks library for JavaScript about each line of JSON {"secret", "headers", "body"} on its
// standard input: prints the type of what it takes, and "no" for what it refuses.
const { Webhook, WebhookVerificationError } = require('standardwebhooks');

const lines = require('node:fs').readFileSync(0, 'utf8').split('\n').filter(Boolean);
for (const line of lines) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    console.log(new Webhook(secret).verify(body, headers).type);
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log('no');
  }
}
