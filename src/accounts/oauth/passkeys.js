// Passkeys on our pages: asks the browser for one, and sends its answer with the form. Without this, or in a browser that has no passkeys,
// the pages work with passwords and codes: what needs it is hidden until it runs.
"use strict";
(() => {
  if (!window.PublicKeyCredential || !navigator.credentials) return;

  const decoded = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const encoded = (buffer) =>
    btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
      .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (credentials) => (credentials || []).map((known) => ({ ...known, id: decoded(known.id) }));

  const asked = async (path, challenge) => {
    const body = JSON.stringify(challenge ? { challenge } : {});
    const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.detail || told.title || "It was refused.");
    return told;
  };

  const create = async (options) => {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: decoded(options.challenge),
        user: { ...options.user, id: decoded(options.user.id) },
        excludeCredentials: named(options.excludeCredentials),
      },
    });
    const transports = made.response.getTransports ? made.response.getTransports() : [];
    return answered(made, { attestationObject: encoded(made.response.attestationObject), transports });
  };

  const get = async (options) => {
    const shown = await navigator.credentials.get({
      publicKey: { ...options, challenge: decoded(options.challenge), allowCredentials: named(options.allowCredentials) },
    });
    const { authenticatorData, signature, userHandle } = shown.response;
    return answered(shown, {
      authenticatorData: encoded(authenticatorData),
      signature: encoded(signature),
      userHandle: userHandle && userHandle.byteLength ? encoded(userHandle) : null,
    });
  };

  const answered = (credential, response) => ({
    id: credential.id,
    rawId: encoded(credential.rawId),
    type: credential.type,
    response: { clientDataJSON: encoded(credential.response.clientDataJSON), ...response },
  });

  const told = (form, text) => {
    let alert = form.querySelector("[role=alert]");
    if (!alert) {
      alert = document.createElement("p");
      alert.setAttribute("role", "alert");
      form.prepend(alert);
    }
    alert.textContent = text;
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { challenge, credential } = form.elements;
      try {
        const options = await asked(form.dataset.options, challenge && challenge.value);
        const answer = form.dataset.passkey === "create" ? await create(options) : await get(options);
        credential.value = JSON.stringify(answer);
        form.submit();
      } catch (error) {
        told(form, error.name === "NotAllowedError" ? "No passkey was used." : error.message);
      }
    });
  }
})();
