"use strict";
// Asks for the command's code, then for the security key, and hands the key's answer to the gateway.
(() => {
  const page = location.hash.slice(1);
  // the address opens one ceremony: it does not stay in the history
  history.replaceState(null, "", location.pathname);
  const form = document.getElementById("form");
  const code = document.getElementById("code");
  const go = document.getElementById("go");
  const said = document.getElementById("said");
  const lead = document.getElementById("lead");

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const post = async (path, body) => {
    const answer = await fetch(path, {
      method: "POST", credentials: "omit", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const found = answer.status === 204 ? {} : await answer.json();
    if (!answer.ok) {
      throw new Error(found.detail + (found.hint ? " – " + found.hint : ""));
    }
    return found;
  };

  const use = async (asked) => {
    const options = asked.options;
    options.challenge = bytes(options.challenge);
    if (asked.kind === "login") {
      const made = await navigator.credentials.get({ publicKey: options });
      const answer = made.response;
      return {
        id: made.id, rawId: text(made.rawId), type: made.type,
        response: {
          clientDataJSON: text(answer.clientDataJSON), authenticatorData: text(answer.authenticatorData),
          signature: text(answer.signature), userHandle: answer.userHandle ? text(answer.userHandle) : null,
        },
      };
    }
    options.user.id = bytes(options.user.id);
    options.excludeCredentials = (options.excludeCredentials || []).map((one) => ({ ...one, id: bytes(one.id) }));
    const made = await navigator.credentials.create({ publicKey: options });
    return {
      id: made.id, rawId: text(made.rawId), type: made.type,
      response: {
        clientDataJSON: text(made.response.clientDataJSON), attestationObject: text(made.response.attestationObject),
      },
    };
  };

  const end = (words) => {
    form.hidden = true;
    lead.hidden = true;
    said.textContent = words;
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    said.textContent = "";
    let asked;
    try {
      asked = await post("/v1/key/begin", { page, code: code.value });
    } catch (error) {
      said.textContent = error.message;
      go.disabled = false;
      return;
    }
    const what = asked.kind === "login" ? "Signing in as " : "A new key for ";
    said.textContent = what + asked.login + ": use your key now.";
    let answer;
    try {
      answer = await use(asked);
    } catch (error) {
      said.textContent = "The key gave no answer (" + error.name + "). Try again.";
      go.disabled = false;
      return;
    }
    try {
      await post("/v1/key/answer", { page, answer });
      end("Done. You can close this page: your command line goes on.");
    } catch (error) {
      end(error.message);
    }
  });
  if (!page) {
    end("This page is opened by the address that the command line shows.");
  } else if (!window.PublicKeyCredential) {
    end("This browser cannot speak to security keys.");
  }
})();
