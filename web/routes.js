/** The routes that a person may ask for by name, from the server's list of models. */

/** Names of routes; none where the list cannot be had, since `auto` always works. key: the person's, or null. */
export async function routeNames(key) {
  try {
    const headers = key === null ? {} : { authorization: `Bearer ${key}` };
    const answer = await fetch(new URL("v1/models", location.href), { headers });
    if (!answer.ok) return [];
    const { data } = await answer.json();
    return data.map((model) => model.id).filter((id) => id !== "auto" && !id.startsWith("router-"));
  } catch {
    return [];
  }
}
